// Choosing an engine, as the Python package chooses its compiled module.
#include "c/engines.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

#include "c/failure.hpp"
#include "cpu/instruction_sets.hpp"

namespace fastrnn::c {
namespace {

// Those that are built, best first.
constexpr const Engine* built[] = {
#if defined(FASTRNN_HAS_AVX512)
    &fastrnn_engine_avx512,
#endif
#if defined(FASTRNN_HAS_AVX2)
    &fastrnn_engine_avx2,
#endif
#if defined(FASTRNN_HAS_BASELINE)
    &fastrnn_engine_baseline,
#endif
};

bool is_supported(std::string_view name) {
    const InstructionSets sets = supported_instruction_sets();
    for (std::size_t i = 0; i < sets.count; ++i)
        if (name == sets.names[i]) return true;
    return false;
}

[[noreturn]] void fail(const std::string& message) { throw Failure{FASTRNN_ERROR_CPU, message}; }

const Engine& choose() {
    const char* const wanted = std::getenv("FASTRNN_ISA");
    if (wanted && *wanted) {
        const std::string_view name = wanted;
        if (name != "avx512_bf16" && name != "avx512" && name != "avx2" && name != "baseline")
            fail("FASTRNN_ISA: expected avx512_bf16, avx512, avx2 or baseline, got " + printable(name));
        if (!is_supported(name))
            fail("FASTRNN_ISA: this CPU or operating system does not support " + std::string(name));
        for (const Engine* one : built)
            if (compiled_isa(name) == one->name) return *one;
        fail("FASTRNN_ISA: this library was built without " + std::string(name));
    }
    for (const Engine* one : built)
        if (is_supported(one->name)) return *one;
    fail("this library was built without an instruction set that this CPU supports");
}

}  // namespace

const Engine& engine() {
    static const Engine& chosen = choose();  // tried again at the next call if it fails
    return chosen;
}

}  // namespace fastrnn::c

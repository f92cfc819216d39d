// Detects which instruction sets this CPU and operating system can run.
//
// A separate module, compiled for the baseline, so that detection never executes an unsupported instruction. An
// instruction set is supported only if CPUID reports all of its features AND the operating system saves the registers
// it uses: OSXSAVE says that XGETBV is available, XCR0 which register state survives a context switch. The feature
// lists are the x86-64-v3 and x86-64-v4 micro-architecture levels of the x86-64 psABI, section 3.1.1.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#define FASTRNN_X86_64 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace {

using Features = std::map<std::string, bool>;

#if defined(FASTRNN_X86_64)

struct Registers {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero if the CPU lacks the leaf, so that its feature bits read as absent.
Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) {
    Registers r;
#if defined(_MSC_VER)
    int highest[4], out[4];
    __cpuid(highest, static_cast<int>(leaf & 0x80000000u));
    if (static_cast<std::uint32_t>(highest[0]) < leaf) return r;
    __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
    r.eax = static_cast<std::uint32_t>(out[0]);
    r.ebx = static_cast<std::uint32_t>(out[1]);
    r.ecx = static_cast<std::uint32_t>(out[2]);
    r.edx = static_cast<std::uint32_t>(out[3]);
#else
    if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx)) return Registers{};
#endif
    return r;
}

// Extended control register 0. Call only if CPUID reports OSXSAVE: otherwise XGETBV is an illegal instruction.
std::uint64_t xcr0() {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

bool bit(std::uint32_t word, int position) { return ((word >> position) & 1u) != 0; }

Features detect() {
    const Registers basic = cpuid(1);
    const Registers structured = cpuid(7);
    const Registers extended = cpuid(0x80000001u);

    constexpr std::uint64_t avx_state = 0x06;     // XMM and the upper halves of YMM
    constexpr std::uint64_t avx512_state = 0xE6;  // the same, mask registers, upper halves of ZMM0-15, and ZMM16-31
    const bool osxsave = bit(basic.ecx, 27);
    const std::uint64_t state = osxsave ? xcr0() : 0;

    Features f;
    f["osxsave"] = osxsave;
    f["os_avx"] = (state & avx_state) == avx_state;
    f["os_avx512"] = (state & avx512_state) == avx512_state;
    f["sse3"] = bit(basic.ecx, 0);
    f["ssse3"] = bit(basic.ecx, 9);
    f["fma"] = bit(basic.ecx, 12);
    f["cx16"] = bit(basic.ecx, 13);
    f["sse4_1"] = bit(basic.ecx, 19);
    f["sse4_2"] = bit(basic.ecx, 20);
    f["movbe"] = bit(basic.ecx, 22);
    f["popcnt"] = bit(basic.ecx, 23);
    f["avx"] = bit(basic.ecx, 28);
    f["f16c"] = bit(basic.ecx, 29);
    f["bmi1"] = bit(structured.ebx, 3);
    f["avx2"] = bit(structured.ebx, 5);
    f["bmi2"] = bit(structured.ebx, 8);
    f["avx512f"] = bit(structured.ebx, 16);
    f["avx512dq"] = bit(structured.ebx, 17);
    f["avx512cd"] = bit(structured.ebx, 28);
    f["avx512bw"] = bit(structured.ebx, 30);
    f["avx512vl"] = bit(structured.ebx, 31);
    f["lahf"] = bit(extended.ecx, 0);
    f["lzcnt"] = bit(extended.ecx, 5);
    return f;
}

const std::vector<std::string> level_v3 = {"osxsave", "os_avx", "sse3", "ssse3", "cx16", "sse4_1",
                                           "sse4_2",  "popcnt", "lahf", "avx",   "avx2", "fma",
                                           "bmi1",    "bmi2",   "f16c", "lzcnt", "movbe"};
const std::vector<std::string> level_v4 = {"os_avx512", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};

bool has_all(const Features& found, const std::vector<std::string>& wanted) {
    for (const std::string& name : wanted)
        if (!found.at(name)) return false;
    return true;
}

std::vector<std::string> supported() {
    const Features found = detect();
    std::vector<std::string> names{"baseline"};
    if (has_all(found, level_v3)) {
        names.insert(names.begin(), "avx2");
        if (has_all(found, level_v4)) names.insert(names.begin(), "avx512");
    }
    return names;
}

#else  // other CPUs: one module, where Eigen's packets use the architecture's standard vectors (NEON on arm64)

Features detect() { return {}; }

std::vector<std::string> supported() { return {"baseline"}; }

#endif

}  // namespace

PYBIND11_MODULE(_cpu, m, pybind11::mod_gil_not_used()) {
    m.doc() = "The instruction sets that this CPU and operating system can run.";
    m.def("supported", &supported,
          "Return the names of the supported instruction sets, best first; the last is always 'baseline'.");
    m.def(
        "features", &detect,
        "Return the CPU features and register states that decide it, name -> present; empty if the CPU is not x86-64.");
}

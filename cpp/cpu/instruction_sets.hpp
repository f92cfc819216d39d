// Detects which instruction sets this CPU and operating system can run.
//
// Included only by code compiled for the baseline, so that detection never executes an unsupported instruction. An
// instruction set is supported only if CPUID reports all of its features AND the operating system saves the registers
// it uses: OSXSAVE says that XGETBV is available, XCR0 which register state survives a context switch. The feature
// lists are the x86-64-v3 and x86-64-v4 micro-architecture levels of the x86-64 psABI, section 3.1.1.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define FASTRNN_X86_64 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace fastrnn {

// A feature of the CPU or a register state, and the level of the psABI that needs it.
struct Feature {
    const char* name;
    int level;
    bool present;
};

#if defined(FASTRNN_X86_64)

struct CpuidRegisters {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero if the CPU lacks the leaf, so that its feature bits read as absent.
inline CpuidRegisters cpuid(std::uint32_t leaf, std::uint32_t subleaf = 0) {
    CpuidRegisters r;
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
    if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx)) return CpuidRegisters{};
#endif
    return r;
}

// Extended control register 0. Call only if CPUID reports OSXSAVE: otherwise XGETBV is an illegal instruction.
inline std::uint64_t xcr0() {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

// Calls f(Feature) for each feature that decides.
template <class F>
void for_features(F&& f) {
    const CpuidRegisters basic = cpuid(1), structured = cpuid(7), extended = cpuid(0x80000001u);
    constexpr std::uint64_t avx_state = 0x06;     // XMM and the upper halves of YMM
    constexpr std::uint64_t avx512_state = 0xE6;  // the same, mask registers, upper halves of ZMM0-15, and ZMM16-31
    const auto bit = [](std::uint32_t word, int position) { return ((word >> position) & 1u) != 0; };
    const bool osxsave = bit(basic.ecx, 27);
    const std::uint64_t state = osxsave ? xcr0() : 0;
    f(Feature{"osxsave", 3, osxsave});
    f(Feature{"os_avx", 3, (state & avx_state) == avx_state});
    f(Feature{"os_avx512", 4, (state & avx512_state) == avx512_state});
    f(Feature{"sse3", 3, bit(basic.ecx, 0)});
    f(Feature{"ssse3", 3, bit(basic.ecx, 9)});
    f(Feature{"fma", 3, bit(basic.ecx, 12)});
    f(Feature{"cx16", 3, bit(basic.ecx, 13)});
    f(Feature{"sse4_1", 3, bit(basic.ecx, 19)});
    f(Feature{"sse4_2", 3, bit(basic.ecx, 20)});
    f(Feature{"movbe", 3, bit(basic.ecx, 22)});
    f(Feature{"popcnt", 3, bit(basic.ecx, 23)});
    f(Feature{"avx", 3, bit(basic.ecx, 28)});
    f(Feature{"f16c", 3, bit(basic.ecx, 29)});
    f(Feature{"bmi1", 3, bit(structured.ebx, 3)});
    f(Feature{"avx2", 3, bit(structured.ebx, 5)});
    f(Feature{"bmi2", 3, bit(structured.ebx, 8)});
    f(Feature{"avx512f", 4, bit(structured.ebx, 16)});
    f(Feature{"avx512dq", 4, bit(structured.ebx, 17)});
    f(Feature{"avx512cd", 4, bit(structured.ebx, 28)});
    f(Feature{"avx512bw", 4, bit(structured.ebx, 30)});
    f(Feature{"avx512vl", 4, bit(structured.ebx, 31)});
    f(Feature{"lahf", 3, bit(extended.ecx, 0)});
    f(Feature{"lzcnt", 3, bit(extended.ecx, 5)});
}

#else  // other CPUs: one set, where Eigen's packets use the architecture's standard vectors (NEON on arm64)

template <class F>
void for_features(F&&) {}

#endif

// Names of the supported instruction sets, best first; the last is always "baseline".
struct InstructionSets {
    const char* names[3];
    std::size_t count = 0;

    void add(const char* name) { names[count++] = name; }
};

inline InstructionSets supported_instruction_sets() {
    bool v3 = false, v4 = false;
#if defined(FASTRNN_X86_64)
    v3 = v4 = true;
    for_features([&](const Feature& feature) {
        v3 = v3 && (feature.level > 3 || feature.present);
        v4 = v4 && feature.present;
    });
#endif
    InstructionSets sets{};
    if (v4) sets.add("avx512");
    if (v3) sets.add("avx2");
    sets.add("baseline");
    return sets;
}

}  // namespace fastrnn

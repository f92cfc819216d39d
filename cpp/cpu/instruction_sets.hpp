// Detects which instruction sets this CPU and operating system can run.
//
// Included only by code compiled for the baseline, so that detection never executes an unsupported instruction. An
// instruction set is supported only if CPUID reports all of its features AND the operating system saves the registers
// it uses: OSXSAVE says that XGETBV is available, XCR0 which register state survives a context switch. The features
// of avx2 and avx512 are the x86-64-v3 and x86-64-v4 micro-architecture levels of the x86-64 psABI, section 3.1.1.
// avx512_bf16 adds the products of bfloat16 (AVX512_BF16) and of bytes (AVX512_VNNI).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

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

// An instruction set has the features of the one before it, and its own.
enum class Isa { baseline, avx2, avx512, avx512_bf16 };

// A feature of the CPU or a register state, and the first set that needs it.
struct Feature {
    const char* name;
    Isa isa;
    bool present;
};

// Names of the supported instruction sets, best first; the last is always "baseline".
struct InstructionSets {
    const char* names[4];
    std::size_t count = 0;

    void add(const char* name) { names[count++] = name; }
};

// The set for which the code that runs a set is compiled: avx512_bf16 is that of avx512 with other products of low
// precision.
inline std::string_view compiled_isa(std::string_view name) { return name == "avx512_bf16" ? "avx512" : name; }

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

// What the CPU and the operating system say of themselves.
struct CpuWords {
    CpuidRegisters basic, structured, structured_1, extended;  // leaves 1; 7; 7, subleaf 1; 0x80000001
    std::uint64_t xcr0 = 0;
};

inline CpuWords read_cpu() {
    CpuWords words;
    words.basic = cpuid(1);
    words.structured = cpuid(7);
    if (words.structured.eax >= 1) words.structured_1 = cpuid(7, 1);  // eax: the last subleaf
    words.extended = cpuid(0x80000001u);
    if ((words.basic.ecx >> 27) & 1u) words.xcr0 = xcr0();
    return words;
}

// Calls f(Feature) for each feature that decides.
template <class F>
void for_features(const CpuWords& cpu, F&& f) {
    constexpr std::uint64_t avx_state = 0x06;     // XMM and the upper halves of YMM
    constexpr std::uint64_t avx512_state = 0xE6;  // the same, mask registers, upper halves of ZMM0-15, and ZMM16-31
    const auto bit = [](std::uint32_t word, int position) { return ((word >> position) & 1u) != 0; };
    f(Feature{"osxsave", Isa::avx2, bit(cpu.basic.ecx, 27)});
    f(Feature{"os_avx", Isa::avx2, (cpu.xcr0 & avx_state) == avx_state});
    f(Feature{"os_avx512", Isa::avx512, (cpu.xcr0 & avx512_state) == avx512_state});
    f(Feature{"sse3", Isa::avx2, bit(cpu.basic.ecx, 0)});
    f(Feature{"ssse3", Isa::avx2, bit(cpu.basic.ecx, 9)});
    f(Feature{"fma", Isa::avx2, bit(cpu.basic.ecx, 12)});
    f(Feature{"cx16", Isa::avx2, bit(cpu.basic.ecx, 13)});
    f(Feature{"sse4_1", Isa::avx2, bit(cpu.basic.ecx, 19)});
    f(Feature{"sse4_2", Isa::avx2, bit(cpu.basic.ecx, 20)});
    f(Feature{"movbe", Isa::avx2, bit(cpu.basic.ecx, 22)});
    f(Feature{"popcnt", Isa::avx2, bit(cpu.basic.ecx, 23)});
    f(Feature{"avx", Isa::avx2, bit(cpu.basic.ecx, 28)});
    f(Feature{"f16c", Isa::avx2, bit(cpu.basic.ecx, 29)});
    f(Feature{"bmi1", Isa::avx2, bit(cpu.structured.ebx, 3)});
    f(Feature{"avx2", Isa::avx2, bit(cpu.structured.ebx, 5)});
    f(Feature{"bmi2", Isa::avx2, bit(cpu.structured.ebx, 8)});
    f(Feature{"avx512f", Isa::avx512, bit(cpu.structured.ebx, 16)});
    f(Feature{"avx512dq", Isa::avx512, bit(cpu.structured.ebx, 17)});
    f(Feature{"avx512cd", Isa::avx512, bit(cpu.structured.ebx, 28)});
    f(Feature{"avx512bw", Isa::avx512, bit(cpu.structured.ebx, 30)});
    f(Feature{"avx512vl", Isa::avx512, bit(cpu.structured.ebx, 31)});
    f(Feature{"avx512_vnni", Isa::avx512_bf16, bit(cpu.structured.ecx, 11)});
    f(Feature{"avx512_bf16", Isa::avx512_bf16, bit(cpu.structured_1.eax, 5)});
    f(Feature{"lahf", Isa::avx2, bit(cpu.extended.ecx, 0)});
    f(Feature{"lzcnt", Isa::avx2, bit(cpu.extended.ecx, 5)});
}

template <class F>
void for_features(F&& f) {
    for_features(read_cpu(), f);
}

inline InstructionSets sets_of(const CpuWords& cpu) {
    Isa best = Isa::avx512_bf16;
    for_features(cpu, [&](const Feature& feature) {
        if (!feature.present && feature.isa <= best) best = static_cast<Isa>(static_cast<int>(feature.isa) - 1);
    });
    InstructionSets sets{};
    if (best >= Isa::avx512_bf16) sets.add("avx512_bf16");
    if (best >= Isa::avx512) sets.add("avx512");
    if (best >= Isa::avx2) sets.add("avx2");
    sets.add("baseline");
    return sets;
}

inline InstructionSets supported_instruction_sets() { return sets_of(read_cpu()); }

#else  // other CPUs: one set, where Eigen's packets use the architecture's standard vectors (NEON on arm64)

template <class F>
void for_features(F&&) {}

inline InstructionSets supported_instruction_sets() {
    InstructionSets sets{};
    sets.add("baseline");
    return sets;
}

#endif

}  // namespace fastrnn

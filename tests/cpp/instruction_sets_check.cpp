// Which bits of a CPU decide, from made-up CPUs that lack one each: tests/test_cpu.py compiles and runs it.
#include <cstdio>

#include "cpu/instruction_sets.hpp"

using namespace fastrnn;

namespace {

struct NamedWord {
    const char* name;
    std::uint32_t CpuidRegisters::* part;
    CpuidRegisters CpuWords::* leaf;
};

// No other word of these leaves may decide anything.
constexpr NamedWord words[] = {
    {"1.eax", &CpuidRegisters::eax, &CpuWords::basic},
    {"1.ecx", &CpuidRegisters::ecx, &CpuWords::basic},
    {"1.edx", &CpuidRegisters::edx, &CpuWords::basic},
    {"7.ebx", &CpuidRegisters::ebx, &CpuWords::structured},
    {"7.ecx", &CpuidRegisters::ecx, &CpuWords::structured},
    {"7.edx", &CpuidRegisters::edx, &CpuWords::structured},
    {"7.1.eax", &CpuidRegisters::eax, &CpuWords::structured_1},
    {"7.1.ebx", &CpuidRegisters::ebx, &CpuWords::structured_1},
    {"7.1.edx", &CpuidRegisters::edx, &CpuWords::structured_1},
    {"80000001.ecx", &CpuidRegisters::ecx, &CpuWords::extended},
    {"80000001.edx", &CpuidRegisters::edx, &CpuWords::extended},
};

CpuWords everything() {
    CpuWords cpu;
    for (const NamedWord& word : words) cpu.*word.leaf.*word.part = ~0u;
    cpu.xcr0 = ~0ull;
    return cpu;
}

// The best set of a CPU without one bit, if that is not the best of all.
void print(const char* word, int bit, const CpuWords& cpu) {
    const char* const best = sets_of(cpu).names[0];
    if (best != std::string_view("avx512_bf16")) std::printf("%s %d %s\n", word, bit, best);
}

}  // namespace

int main() {
    for (const NamedWord& word : words)
        for (int bit = 0; bit < 32; ++bit) {
            CpuWords cpu = everything();
            cpu.*word.leaf.*word.part &= ~(1u << bit);
            print(word.name, bit, cpu);
        }
    for (int bit = 0; bit < 64; ++bit) {
        CpuWords cpu = everything();
        cpu.xcr0 &= ~(1ull << bit);
        print("xcr0", bit, cpu);
    }
    print("nothing", 0, CpuWords{});
    return 0;
}

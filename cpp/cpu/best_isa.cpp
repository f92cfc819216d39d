// Prints the instruction set to compile for this machine, where a build is for this machine (CMakeLists.txt runs it).
#include <cstdio>

#include "cpu/instruction_sets.hpp"

int main() {
    const std::string_view isa = fastrnn::compiled_isa(fastrnn::supported_instruction_sets().names[0]);
    std::fwrite(isa.data(), 1, isa.size(), stdout);
    return 0;
}

// Prints the best instruction set of this machine, for a build that is for this machine (CMakeLists.txt runs it).
#include <cstdio>

#include "cpu/instruction_sets.hpp"

int main() {
    std::fputs(fastrnn::supported_instruction_sets().names[0], stdout);
    return 0;
}

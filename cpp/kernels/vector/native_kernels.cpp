// Products of bfloat16 and int8 by AVX512_BF16 and AVX512_VNNI, in a module that is compiled without them: it asks for
// these tables only where the CPU has both. `.ci/` checks that this object shares no inline code with the others.
#include "kernels/vector/native_words.hpp"

namespace fastrnn {
namespace {

constexpr NarrowKernels bfloat16_kernels = NarrowTables<NativeBfloat16>::of();
constexpr NarrowKernels int8_kernels = NarrowTables<NativeInt8>::of();

}  // namespace

const NarrowKernels* native_bfloat16() { return &bfloat16_kernels; }
const NarrowKernels* native_int8() { return &int8_kernels; }

}  // namespace fastrnn

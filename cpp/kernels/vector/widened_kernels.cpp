// Products of bfloat16 and int8 with the instructions that every module has.
#include "kernels/vector/widened_words.hpp"

namespace fastrnn {
namespace {

constexpr NarrowKernels bfloat16_kernels = NarrowTables<WidenedBfloat16>::of();
constexpr NarrowKernels int8_kernels = NarrowTables<WidenedInt8>::of();

}  // namespace

const NarrowKernels& widened_bfloat16() { return bfloat16_kernels; }
const NarrowKernels& widened_int8() { return int8_kernels; }

}  // namespace fastrnn

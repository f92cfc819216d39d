// C += A^T B in bfloat16 over time and batch: weight gradients. Every element is one chain of float sums over the rows.
#pragma once

#include "kernels/matrix/narrow_product.hpp"
#include "kernels/matrix/outer_product.hpp"

namespace fastrnn {

// Scalars for accumulate_narrow_outer; `columns` of each side.
Index narrow_outer_workspace(const NarrowKernels& kernels, Index columns, Index others = 0);

// Adds both products to rows `all` of C, see OuterProduct.
void accumulate_narrow_outer(const NarrowKernels& kernels, const OuterProduct<float>& product, Range all,
                             float* workspace);

}  // namespace fastrnn

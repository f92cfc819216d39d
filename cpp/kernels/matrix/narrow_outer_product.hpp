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

// The same in either: with the scalars themselves if there are no kernels. `columns` of each side.
template <class S>
Index outer_memory(const NarrowKernels* kernels, Index columns, Index others = 0) {
    return kernels ? narrow_outer_workspace(*kernels, columns, others) : outer_workspace<S>(columns, others);
}
template <class S>
void accumulate_product(const NarrowKernels* kernels, const OuterProduct<S>& product, Range rows, S* workspace) {
    if constexpr (std::is_same_v<S, float>)
        if (kernels) return accumulate_narrow_outer(*kernels, product, rows, workspace);
    accumulate_outer(product, rows, workspace);
}

}  // namespace fastrnn

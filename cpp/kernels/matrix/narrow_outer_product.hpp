// C += A^T B in bfloat16 over tokens: weight gradients. Every element is one chain, of float sums of pairs of tokens.
#pragma once

#include "kernels/matrix/narrow_product.hpp"
#include "kernels/matrix/outer_product.hpp"

namespace fastrnn {

// Which tokens a word holds: two neighbours, or one alone.
struct TokenPair {
    Index first;
    bool alone;
};

// Scalars for accumulate_narrow_outer; `columns` of each side.
Index narrow_outer_workspace(const NarrowKernels& kernels, Index columns, Index others = 0);

// Adds both products to rows `all` of C, see OuterProduct. Tokens are paired in their order, but not over the steps of
// a sequence, so that the sums do not depend on how time is cut into chunks: a token k with row_of[k] = 0 begins a
// step; without row_of all tokens are of one step.
void accumulate_narrow_outer(const NarrowKernels& kernels, const OuterProduct<float>& product, const Index* row_of,
                             Range all, float* workspace);

}  // namespace fastrnn

// y[m] = weight[ids[m]] [M, E], weight [V, E], ids [M] in 0 .. V-1, and its gradient by scatter-add. An id of -1 stands
// for zeros. The caller owns all arrays and has checked the ids.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

template <class S>
void embedding_forward(const std::int64_t* ids, const S* weight, Index M, Index E, S* y) {
    for (Index m = 0; m < M; ++m, y += E)
        if (ids[m] < 0)
            std::fill(y, y + E, S(0));
        else
            std::copy(weight + ids[m] * E, weight + (ids[m] + 1) * E, y);
}

// dweight[ids[m]] += dy[m], in the order of m.
template <class S>
void embedding_backward(const std::int64_t* ids, const S* dy, Index M, Index E, S* dweight) {
    for (Index m = 0; m < M; ++m) {
        if (ids[m] < 0) continue;
        S* row = dweight + ids[m] * E;
        for (Index j = 0; j < E; ++j) row[j] += dy[m * E + j];
    }
}

}  // namespace fastrnn

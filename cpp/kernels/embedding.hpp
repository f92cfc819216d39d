// y[m] = weight[ids[m]], weight [V, E], ids [M] in 0 .. V-1 (checked by the caller); and its gradient by scatter-add.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.hpp"

namespace fastrnn {

template <class S>
void embedding_forward(const std::int64_t* ids, const S* weight, Index M, Index E, S* y) {
    for (Index m = 0; m < M; ++m) std::copy(weight + ids[m] * E, weight + (ids[m] + 1) * E, y + m * E);
}

// dweight[ids[m]] += dy[m], in the order of m.
template <class S>
void embedding_backward(const std::int64_t* ids, const S* dy, Index M, Index E, S* dweight) {
    for (Index m = 0; m < M; ++m) {
        S* row = dweight + ids[m] * E;
        for (Index j = 0; j < E; ++j) row[j] += dy[m * E + j];
    }
}

}  // namespace fastrnn

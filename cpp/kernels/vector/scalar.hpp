// Single scalars, computed as in the lanes of a vector.
#pragma once

#include <cmath>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// a * b + c, rounded once if the vectors of the instruction set are.
template <class S, std::enable_if_t<std::is_floating_point_v<S>, int> = 0>
FASTRNN_INLINE S fma(S a, S b, S c) {
#if defined(EIGEN_VECTORIZE_FMA) || defined(__ARM_FEATURE_FMA)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

// Returns `value`, forced into a register of its own. Otherwise the compiler makes vectors of sums whose factors it
// must load one by one, and moving them into their lanes becomes the bottleneck.
template <class S, std::enable_if_t<std::is_floating_point_v<S>, int> = 0>
FASTRNN_INLINE S in_register(S value) {
#if defined(__GNUC__) && defined(__x86_64__)
    asm("" : "+x"(value));
#elif defined(__GNUC__) && defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}

}  // namespace fastrnn

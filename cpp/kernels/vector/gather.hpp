// A vector of scalars from any places of an array, in one instruction. Eigen gathers at equal distances only.
#pragma once

#include "kernels/vector/simd.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace fastrnn {

#if defined(__AVX512F__)
inline constexpr bool has_gather = true;

FASTRNN_INLINE Vec<float> gather(const float* from, const std::uint16_t* places) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(places));
    return {_mm512_i32gather_ps(_mm512_cvtepu16_epi32(narrow), from, 4)};
}
FASTRNN_INLINE Vec<float> gather(const float* from, const std::uint32_t* places) {
    return {_mm512_i32gather_ps(_mm512_loadu_si512(places), from, 4)};
}
FASTRNN_INLINE Vec<double> gather(const double* from, const std::uint16_t* places) {
    const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(places));
    return {_mm512_i32gather_pd(_mm256_cvtepu16_epi32(narrow), from, 8)};
}
FASTRNN_INLINE Vec<double> gather(const double* from, const std::uint32_t* places) {
    return {_mm512_i32gather_pd(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(places)), from, 8)};
}
#else
inline constexpr bool has_gather = false;
#endif

}  // namespace fastrnn

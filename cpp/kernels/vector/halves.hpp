// Floats kept in 16 bits: bfloat16 for any number, and multiples of 2^-14 for numbers in -1 .. 1.
#pragma once

#include <cstring>

#include "kernels/vector/bfloat16.hpp"

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#define FASTRNN_HAS_SSE2
#endif

namespace fastrnn {

// Stores the lower half of each integer.
FASTRNN_INLINE void store_halves(std::uint16_t* to, IntegerPacket bits) {
#if defined(__AVX512F__)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(bits));
#elif defined(__AVX2__)
    const __m256i low = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff)), packed = _mm256_packus_epi32(low, low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#elif defined(FASTRNN_HAS_SSE2)
    const __m128i low = _mm_srai_epi32(_mm_slli_epi32(bits, 16), 16);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(low, low));
#else
    std::uint32_t words[lanes<float>];
    std::memcpy(words, &bits, sizeof words);
    for (Index i = 0; i < lanes<float>; ++i) to[i] = std::uint16_t(words[i]);
#endif
}

// Loads 16-bit integers; the upper half of each is its sign.
FASTRNN_INLINE IntegerPacket load_halves(const std::uint16_t* from) {
#if defined(__AVX512F__)
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__AVX2__)
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(FASTRNN_HAS_SSE2)
    const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm_srai_epi32(_mm_unpacklo_epi16(halves, halves), 16);
#else
    std::int32_t words[lanes<float>];
    for (Index i = 0; i < lanes<float>; ++i) words[i] = std::int16_t(from[i]);
    IntegerPacket bits;
    std::memcpy(&bits, words, sizeof words);
    return bits;
#endif
}

// The first `count` only, which may exceed the width: memory after them is not touched, and other lanes are zero.
FASTRNN_INLINE void store_first_halves(std::uint16_t* to, IntegerPacket bits, Index count) {
    if (count >= lanes<float>) return store_halves(to, bits);
    std::uint16_t buffer[lanes<float>];
    store_halves(buffer, bits);
    for (Index i = 0; i < count; ++i) to[i] = buffer[i];
}
FASTRNN_INLINE IntegerPacket load_first_halves(const std::uint16_t* from, Index count) {
    if (count >= lanes<float>) return load_halves(from);
    std::uint16_t buffer[lanes<float>] = {};
    for (Index i = 0; i < count; ++i) buffer[i] = from[i];
    return load_halves(buffer);
}

FASTRNN_INLINE void store_bfloat16(std::uint16_t* to, Vec<float> a, Index count) {
    store_first_halves(to, Eigen::internal::plogical_shift_right<16>(bits_of(round_to_bfloat16(a))), count);
}
FASTRNN_INLINE Vec<float> load_bfloat16(const std::uint16_t* from, Index count) {
    return from_bits(Eigen::internal::plogical_shift_left<16>(load_first_halves(from, count)));
}

// Numbers in -1 .. 1, to the nearest multiple of 2^-14. Floats near 1.5 * 2^9 are 2^-14 apart: in the sum with it, the
// lower half of the bits is the integer. That of -2 stands for NaN.
inline constexpr float bounded_shifter = 768.0f;

FASTRNN_INLINE void store_bounded(std::uint16_t* to, Vec<float> a, Index count) {
    const Vec<float> sum = a + set(bounded_shifter);
    store_first_halves(to, bits_of(where_positive(sum, sum, set(bounded_shifter - 2.0f))), count);
}
FASTRNN_INLINE Vec<float> load_bounded(const std::uint16_t* from, Index count) {
    const IntegerPacket zero = bits_of(set(bounded_shifter));
    const Vec<float> sum = from_bits(Eigen::internal::padd(load_first_halves(from, count), zero));
    const Vec<float> a = sum - set(bounded_shifter);
    return where_positive(a + set(1.5f), a, set(std::numeric_limits<float>::quiet_NaN()));
}

}  // namespace fastrnn

// Words of bfloat16 and of int8, multiplied by the CPU's own instructions: AVX512_BF16 and AVX512_VNNI.
//
// Only for a source that is compiled with their flags. All code is inline or in an unnamed namespace: what the linker
// could merge with the same function of another source would run on CPUs that lack these instructions.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/narrow/tile.hpp"

namespace fastrnn {
namespace {

struct NativeWords {
    static constexpr int lanes = 16, word_bytes = 4, parts = 1;
    using Weight = __m512i;
    using Row = __m512i;

    static constexpr int side(int rows, int width) {
        return rows * width > 8 ? 1 : 8 / (rows * width) > 4 ? 4 : 8 / (rows * width);
    }

    // Into a register: otherwise the compiler loads it again for each row.
    template <int>
    static FASTRNN_WORDS_INLINE Weight weight(const std::uint32_t* from) {
        __m512i value = _mm512_loadu_si512(from);
#if defined(__GNUC__)
        asm("" : "+v"(value));
#endif
        return value;
    }
    template <int>
    static FASTRNN_WORDS_INLINE Row row(const unsigned char* from) {
        int word;
        std::memcpy(&word, from, sizeof word);
        return _mm512_set1_epi32(word);
    }
    static FASTRNN_WORDS_INLINE __m512 added(const float* to, __m512 sum, const NarrowTile& t) {
        return t.before == SumsBefore::start ? _mm512_add_ps(_mm512_loadu_ps(to), sum) : sum;
    }
    static FASTRNN_WORDS_INLINE __mmask16 first(std::ptrdiff_t count) {
        return count >= 16 ? __mmask16(0xffff) : __mmask16((1u << count) - 1u);
    }
};

struct NativeBfloat16 : NativeWords {
    static constexpr int group = 2, offset = 0;
    static constexpr bool scaled = false;
    using Sum = __m512;

    static constexpr int most_rows(int) { return 6; }
    static FASTRNN_WORDS_INLINE Sum start(const NarrowTile& t, int r, int c) {
        return t.before == SumsBefore::chains ? _mm512_loadu_ps(t.sums + r * t.sums_stride + c * lanes)
                                              : _mm512_setzero_ps();
    }
    static FASTRNN_WORDS_INLINE Sum dot(Sum sum, Row row, Weight weight) {
        return _mm512_dpbf16_ps(sum, (__m512bh)row, (__m512bh)weight);
    }
    static FASTRNN_WORDS_INLINE void store(float* to, Sum sum, const NarrowTile& t, int, int) {
        _mm512_storeu_ps(to, added(to, sum, t));
    }

    // Rounds to nearest even; counts denormals as zero, as the products do.
    static void narrow(const float* from, std::ptrdiff_t K, unsigned char* to, float*) {
        std::ptrdiff_t k = 0;
        for (; k + 16 <= K; k += 16)
            _mm256_storeu_si256((__m256i*)(to + 2 * k), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + k)));
        if (k == K) return;
        const __m512 rest = _mm512_maskz_loadu_ps(first(K - k), from + k);
        _mm256_mask_storeu_epi16(to + 2 * k, first((K - k + 1) / 2 * 2), (__m256i)_mm512_cvtneps_pbh(rest));
    }
    static void pair(const float* earlier, const float* later, std::ptrdiff_t count, std::uint32_t* to) {
        for (std::ptrdiff_t j = 0; j < count; j += 16) {
            const __mmask16 mask = first(count - j);
            __m512i words = _mm512_slli_epi32(halves(_mm512_maskz_loadu_ps(mask, earlier + j)), 16);
            if (later) words = _mm512_or_si512(words, halves(_mm512_maskz_loadu_ps(mask, later + j)));
            _mm512_mask_storeu_epi32(to + j, mask, words);
        }
    }
    static FASTRNN_WORDS_INLINE __m512i halves(__m512 numbers) {
        return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(numbers));
    }
    static void expand(const std::uint32_t* words, std::ptrdiff_t count, unsigned char* to) {
        std::memcpy(to, words, std::size_t(count) * sizeof *words);
    }
};

// VPDPBUSD multiplies bytes without a sign by bytes with one: a row's numbers have 128 added.
struct NativeInt8 : NativeWords {
    static constexpr int group = 4, offset = 128;
    static constexpr bool scaled = true;
    using Sum = __m512i;

    static constexpr int most_rows(int) { return 4; }  // more do not stay in the registers
    static FASTRNN_WORDS_INLINE Sum start(const NarrowTile& t, int, int c) {
        return _mm512_loadu_si512(t.corrections + c * lanes);
    }
    static FASTRNN_WORDS_INLINE Sum dot(Sum sum, Row row, Weight weight) {
        return _mm512_dpbusd_epi32(sum, row, weight);
    }
    static FASTRNN_WORDS_INLINE void store(float* to, Sum sum, const NarrowTile& t, int r, int c) {
        const __m512 scale =
            _mm512_mul_ps(_mm512_set1_ps(t.row_scales[r]), _mm512_loadu_ps(t.column_scales + c * lanes));
        _mm512_storeu_ps(to, added(to, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), t));
    }

    static void narrow(const float* from, std::ptrdiff_t K, unsigned char* to, float* scale) {
        const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
        __m512i largest = _mm512_setzero_si512();  // of the magnitudes' bits, which are in the order of the numbers
        for (std::ptrdiff_t k = 0; k < K; k += 16)
            largest = _mm512_max_epi32(
                largest,
                _mm512_and_si512(_mm512_castps_si512(_mm512_maskz_loadu_ps(first(K - k), from + k)), magnitude));
        const __m512 inverse = _mm512_set1_ps(int8_inverse(_mm512_reduce_max_epi32(largest), scale));
        for (std::ptrdiff_t k = 0; k < K; k += 16) {
            const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(first(K - k), from + k), inverse);
            const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(scaled));
            _mm_mask_storeu_epi8(to + k, first((K - k + 3) / 4 * 4), _mm_xor_si128(bytes, _mm_set1_epi8(char(0x80))));
        }
    }
    static constexpr void (*expand)(const std::uint32_t*, std::ptrdiff_t, unsigned char*) = nullptr;
    static constexpr void (*pair)(const float*, const float*, std::ptrdiff_t, std::uint32_t*) = nullptr;
};

}  // namespace
}  // namespace fastrnn

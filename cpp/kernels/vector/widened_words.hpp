// Words of bfloat16 and of int8, multiplied by what every module has: bfloat16 as floats, int8 as 16-bit numbers whose
// products are added in pairs.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "kernels/narrow/tile.hpp"
#include "kernels/vector/bfloat16.hpp"

namespace fastrnn {

struct WidenedWords {
    static constexpr int lanes = int(fastrnn::lanes<float>), word_bytes = 8, parts = 2;

    static FASTRNN_INLINE Vec<float> added(const float* to, Vec<float> sum, const NarrowTile& t) {
        return t.before == SumsBefore::start ? load(to) + sum : sum;
    }

    static constexpr int side(int rows, int width) {
        return rows * width > 8 ? 1 : 8 / (rows * width) > 4 ? 4 : 8 / (rows * width);
    }
};

// A row is its numbers, rounded, as floats.
struct WidenedBfloat16 : WidenedWords {
    static constexpr int group = 2, offset = 0;
    static constexpr bool scaled = false;
    // With 16 registers there is one for the mask of the upper halves, too.
    static constexpr int most_rows(int width) { return vector_registers >= 32 ? 6 : width > 2 ? 3 : 5; }
    using Sum = Vec<float>;
    using Weight = Vec<float>;
    using Row = Vec<float>;

    static FASTRNN_INLINE Sum start(const NarrowTile& t, int r, int c) {
        return t.before == SumsBefore::chains ? load(t.sums + r * t.sums_stride + c * lanes) : set(0.0f);
    }
    // The second number of each word, then the first.
    template <int Part>
    static FASTRNN_INLINE Weight weight(const std::uint32_t* from) {
        const Vec<float> words = load(reinterpret_cast<const float*>(from));
        return in_register(Part == 0 ? upper_halves(words) : lower_halves(words));
    }
    template <int Part>
    static FASTRNN_INLINE Row row(const unsigned char* from) {
        float number;
        std::memcpy(&number, from + (Part == 0 ? sizeof number : 0), sizeof number);
        return set(number);
    }
    static FASTRNN_INLINE Sum dot(Sum sum, Row row, Weight weight) { return fma(row, weight, sum); }
    static FASTRNN_INLINE void store(float* to, Sum sum, const NarrowTile& t, int, int) {
        fastrnn::store(to, added(to, sum, t));
    }

    static void narrow(const float* from, std::ptrdiff_t K, unsigned char* to, float*) {
        float* const numbers = reinterpret_cast<float*>(to);
        std::ptrdiff_t k = 0;
        for (; k + lanes <= K; k += lanes) fastrnn::store(numbers + k, round_to_bfloat16(load(from + k)));
        const std::ptrdiff_t end = (K + 1) / 2 * 2;
        if (k < end) store_first(numbers + k, round_to_bfloat16(load_first(from + k, K - k)), end - k);
    }
    static void pair(const float* earlier, const float* later, std::ptrdiff_t count, std::uint32_t* to) {
        for (std::ptrdiff_t j = 0; j < count; j += lanes) {
            const std::ptrdiff_t left = count - j;
            const Vec<float> lower = later ? load_first(later + j, left) : set(0.0f);
            fastrnn::store_first(reinterpret_cast<float*>(to) + j,
                                 words_of_halves(lower, load_first(earlier + j, left)), left);
        }
    }
    static void expand(const std::uint32_t* words, std::ptrdiff_t count, unsigned char* to) {
        std::uint32_t* const numbers = reinterpret_cast<std::uint32_t*>(to);
        for (std::ptrdiff_t k = 0; k < count; ++k) {
            numbers[2 * k] = words[k] << 16;
            numbers[2 * k + 1] = words[k] & 0xffff0000;
        }
    }
};

// Words of four int8 in registers, as two of pairs of 16-bit numbers: their first and third, second and fourth.
#if defined(__AVX512BW__)
struct Pairs {
    __m512i value;
    static FASTRNN_INLINE Pairs load(const void* from) { return {_mm512_loadu_si512(from)}; }
    static FASTRNN_INLINE Pairs set(std::int32_t pair) { return {_mm512_set1_epi32(pair)}; }
    FASTRNN_INLINE Pairs even() const { return {_mm512_srai_epi16(_mm512_slli_epi16(value, 8), 8)}; }
    FASTRNN_INLINE Pairs odd() const { return {_mm512_srai_epi16(value, 8)}; }
    FASTRNN_INLINE Pairs plus_products(Pairs a, Pairs b) const {
        return {_mm512_add_epi32(value, _mm512_madd_epi16(a.value, b.value))};
    }
    FASTRNN_INLINE Vec<float> to_floats() const { return {_mm512_cvtepi32_ps(value)}; }
};
#elif defined(__AVX2__)
struct Pairs {
    __m256i value;
    static FASTRNN_INLINE Pairs load(const void* from) {
        return {_mm256_loadu_si256(static_cast<const __m256i*>(from))};
    }
    static FASTRNN_INLINE Pairs set(std::int32_t pair) { return {_mm256_set1_epi32(pair)}; }
    FASTRNN_INLINE Pairs even() const { return {_mm256_srai_epi16(_mm256_slli_epi16(value, 8), 8)}; }
    FASTRNN_INLINE Pairs odd() const { return {_mm256_srai_epi16(value, 8)}; }
    FASTRNN_INLINE Pairs plus_products(Pairs a, Pairs b) const {
        return {_mm256_add_epi32(value, _mm256_madd_epi16(a.value, b.value))};
    }
    FASTRNN_INLINE Vec<float> to_floats() const { return {_mm256_cvtepi32_ps(value)}; }
};
#elif defined(__SSE2__) || defined(_M_X64)
struct Pairs {
    __m128i value;
    static FASTRNN_INLINE Pairs load(const void* from) { return {_mm_loadu_si128(static_cast<const __m128i*>(from))}; }
    static FASTRNN_INLINE Pairs set(std::int32_t pair) { return {_mm_set1_epi32(pair)}; }
    FASTRNN_INLINE Pairs even() const { return {_mm_srai_epi16(_mm_slli_epi16(value, 8), 8)}; }
    FASTRNN_INLINE Pairs odd() const { return {_mm_srai_epi16(value, 8)}; }
    FASTRNN_INLINE Pairs plus_products(Pairs a, Pairs b) const {
        return {_mm_add_epi32(value, _mm_madd_epi16(a.value, b.value))};
    }
    FASTRNN_INLINE Vec<float> to_floats() const { return {_mm_cvtepi32_ps(value)}; }
};
#else
struct Pairs {
    std::int32_t value[fastrnn::lanes<float>];
    static constexpr int size = int(fastrnn::lanes<float>);
    static FASTRNN_INLINE Pairs load(const void* from) {
        Pairs pairs;
        std::memcpy(pairs.value, from, sizeof pairs.value);
        return pairs;
    }
    static FASTRNN_INLINE Pairs set(std::int32_t pair) {
        Pairs pairs;
        for (int i = 0; i < size; ++i) pairs.value[i] = pair;
        return pairs;
    }
    static FASTRNN_INLINE std::int32_t pair(std::int32_t low, std::int32_t high) {
        return std::int32_t(std::uint32_t(high) << 16 | (std::uint32_t(low) & 0xffff));
    }
    template <class F>
    FASTRNN_INLINE Pairs map(F&& f) const {
        Pairs pairs;
        for (int i = 0; i < size; ++i) pairs.value[i] = f(value[i]);
        return pairs;
    }
    FASTRNN_INLINE Pairs even() const {
        return map([](std::int32_t word) { return pair(std::int8_t(word), std::int8_t(word >> 16)); });
    }
    FASTRNN_INLINE Pairs odd() const {
        return map([](std::int32_t word) { return pair(std::int8_t(word >> 8), std::int8_t(word >> 24)); });
    }
    FASTRNN_INLINE Pairs plus_products(Pairs a, Pairs b) const {
        Pairs sum = *this;
        for (int i = 0; i < size; ++i)
            sum.value[i] +=
                std::int16_t(a.value[i]) * std::int16_t(b.value[i]) + (a.value[i] >> 16) * (b.value[i] >> 16);
        return sum;
    }
    FASTRNN_INLINE Vec<float> to_floats() const {
        float floats[size];
        for (int i = 0; i < size; ++i) floats[i] = float(value[i]);
        return fastrnn::load(floats);
    }
};
#endif

// A word of a row is four 16-bit numbers: the first, third, second and fourth.
struct WidenedInt8 : WidenedWords {
    static constexpr int group = 4, offset = 0;
    static constexpr bool scaled = true;
    static constexpr int most_rows(int) { return 4; }
    using Sum = Pairs;
    using Weight = Pairs;
    using Row = Pairs;

    static FASTRNN_INLINE Sum start(const NarrowTile&, int, int) { return Pairs::set(0); }
    template <int Part>
    static FASTRNN_INLINE Weight weight(const std::uint32_t* from) {
        return Part == 0 ? Pairs::load(from).even() : Pairs::load(from).odd();
    }
    template <int Part>
    static FASTRNN_INLINE Row row(const unsigned char* from) {
        std::int32_t pair;
        std::memcpy(&pair, from + Part * sizeof pair, sizeof pair);
        return Pairs::set(pair);
    }
    static FASTRNN_INLINE Sum dot(Sum sum, Row row, Weight weight) { return sum.plus_products(row, weight); }
    static FASTRNN_INLINE void store(float* to, Sum sum, const NarrowTile& t, int r, int c) {
        const Vec<float> scale = set(t.row_scales[r]) * load(t.column_scales + c * lanes);
        fastrnn::store(to, added(to, sum.to_floats() * scale, t));
    }

    static void narrow(const float* from, std::ptrdiff_t K, unsigned char* to, float* scale) {
        const float factor = int8_inverse(largest_magnitude(from, K), scale);
        const Vec<float> shifter = set(12582912.0f);  // 1.5 * 2^23: the lower half of a sum is the nearest integer
        std::int16_t* numbers = reinterpret_cast<std::int16_t*>(to);
        if (factor == 0.0f) return void(std::memset(to, 0, std::size_t((K + 3) / 4 * word_bytes)));
        const Vec<float> inverse = set(factor);
        alignas(64) float nearest[lanes];
        for (std::ptrdiff_t k = 0; k < K; k += lanes) {
            fastrnn::store(nearest, load_first(from + k, K - k) * inverse + shifter);
            for (int i = 0; i < lanes && k + i < K; i += 4, numbers += 4) {
                constexpr int order[4] = {0, 2, 1, 3};
                for (int j = 0; j < 4; ++j) std::memcpy(numbers + j, nearest + i + order[j], sizeof *numbers);
            }
        }
    }
    static constexpr void (*expand)(const std::uint32_t*, std::ptrdiff_t, unsigned char*) = nullptr;
    static constexpr void (*pair)(const float*, const float*, std::ptrdiff_t, std::uint32_t*) = nullptr;

   private:
    // Its bits; those of infinity if a number is not finite.
    static FASTRNN_INLINE std::int32_t largest_magnitude(const float* from, std::ptrdiff_t K) {
        Vec<float> most = set(0.0f), not_finite = set(0.0f);
        for (std::ptrdiff_t k = 0; k < K; k += lanes) {
            const Vec<float> some = load_first(from + k, K - k);
            most = max(magnitude(some), most);
            not_finite = fma(some, set(0.0f), not_finite);
        }
        if (!all_at_most(not_finite, 0.0f)) return 0x7f800000;
        const float value = largest(most);
        std::int32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return bits;
    }
};

}  // namespace fastrnn

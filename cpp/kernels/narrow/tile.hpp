// The micro-kernel of numbers of fewer bits: a block of rows of words times strips of words, with sums in registers.
//
// Op says how (vector/widened_words.hpp, vector/native_words.hpp): Op::Sum is a register of sums, Op::Weight a register
// of one part of some words, Op::Row that part of a word of a row in all lanes. A word has Op::parts parts.
#pragma once

#include <cstring>

#include "kernels/narrow/kernels.hpp"

#if defined(_MSC_VER)
#define FASTRNN_WORDS_INLINE __forceinline
#else
#define FASTRNN_WORDS_INLINE inline __attribute__((always_inline))
#endif
#if defined(__clang__)
#define FASTRNN_WORDS_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define FASTRNN_WORDS_UNROLL _Pragma("GCC unroll 32")
#else
#define FASTRNN_WORDS_UNROLL
#endif

namespace fastrnn {

// From the bits of the largest magnitude of a row of activations: returns the factor that brings its numbers to
// -127 .. 127, and the scale that undoes it. Not finite: the scale is NaN, and so are the row's products. Below 2^-100:
// factor and scale are 0.
FASTRNN_WORDS_INLINE float int8_inverse(std::int32_t magnitude_bits, float* scale) {
    constexpr std::int32_t infinity = 0x7f800000, least = (127 - 100) << 23;  // 2^-100
    if (magnitude_bits < least || magnitude_bits >= infinity) {
        const std::uint32_t bits = magnitude_bits < least ? 0u : 0x7fc00000u;
        std::memcpy(scale, &bits, sizeof bits);
        return 0.0f;
    }
    float largest;
    std::memcpy(&largest, &magnitude_bits, sizeof largest);
    *scale = largest / 127.0f;
    return 127.0f / largest;
}

template <class Op, int Rows, int Width, int Side>
struct NarrowSums {
    static constexpr int Cols = Width * Side;
    typename Op::Sum sum[Rows][Cols];

    FASTRNN_WORDS_INLINE void start(const NarrowTile& t) {
        FASTRNN_WORDS_UNROLL
        for (int c = 0; c < Cols; ++c) {
            FASTRNN_WORDS_UNROLL
            for (int r = 0; r < Rows; ++r) sum[r][c] = Op::start(t, r, c);
        }
    }

    // Adds the products of one part of a word of the depth.
    template <int Part>
    FASTRNN_WORDS_INLINE void add(const unsigned char* const (&rows)[Rows], std::ptrdiff_t offset,
                                  const std::uint32_t* strip, std::ptrdiff_t stride) {
        typename Op::Weight weight[Cols];
        FASTRNN_WORDS_UNROLL
        for (int c = 0; c < Cols; ++c)
            weight[c] = Op::template weight<Part>(strip + c / Width * stride + c % Width * Op::lanes);
        FASTRNN_WORDS_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const typename Op::Row row = Op::template row<Part>(rows[r] + offset);
            FASTRNN_WORDS_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = Op::dot(sum[r][c], row, weight[c]);
        }
    }
    FASTRNN_WORDS_INLINE void add_word(const unsigned char* const (&rows)[Rows], std::ptrdiff_t offset,
                                       const std::uint32_t* strip, std::ptrdiff_t stride) {
        if constexpr (Rows == 1 && Op::parts > 1) {  // each word of weights is loaded once
            FASTRNN_WORDS_UNROLL
            for (int c = 0; c < Cols; ++c) {
                const std::uint32_t* const from = strip + c / Width * stride + c % Width * Op::lanes;
                sum[0][c] = Op::dot(sum[0][c], Op::template row<0>(rows[0] + offset), Op::template weight<0>(from));
                sum[0][c] = Op::dot(sum[0][c], Op::template row<1>(rows[0] + offset), Op::template weight<1>(from));
            }
        } else {
            add<0>(rows, offset, strip, stride);
            if constexpr (Op::parts > 1) add<1>(rows, offset, strip, stride);
        }
    }

    FASTRNN_WORDS_INLINE void store(const NarrowTile& t) const {
        FASTRNN_WORDS_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_WORDS_UNROLL
            for (int c = 0; c < Cols; ++c) Op::store(t.sums + r * t.sums_stride + c * Op::lanes, sum[r][c], t, r, c);
        }
    }
};

template <class Op, int Rows, int Width, int Side>
void multiply_narrow_tile(const NarrowTile& t) {
    NarrowSums<Op, Rows, Width, Side> tile;
    tile.start(t);
    const unsigned char* rows[Rows];
    FASTRNN_WORDS_UNROLL
    for (int r = 0; r < Rows; ++r) rows[r] = t.a + r * t.a_stride;
    constexpr std::ptrdiff_t next = Width * Op::lanes, bytes = Op::word_bytes;
    const std::uint32_t* strip = t.strip;
    std::ptrdiff_t k = 0;
    for (; k + 2 <= t.words; k += 2, strip += 2 * next) {
        tile.add_word(rows, k * bytes, strip, t.strip_stride);
        tile.add_word(rows, k * bytes + bytes, strip + next, t.strip_stride);
    }
    if (k < t.words) tile.add_word(rows, k * bytes, strip, t.strip_stride);
    tile.store(t);
}

// Op::most_rows(width) is the tallest tile; Op::side(rows, width) is how many strips a skinny one takes at once.
template <class Op>
struct NarrowTables {
    template <int Rows, int Width>
    static constexpr void put(NarrowKernels& kernels) {
        if constexpr (Rows <= Op::most_rows(Width))
            kernels.tiles[Rows][Width] = multiply_narrow_tile<Op, Rows, Width, 1>;
        if constexpr (Rows <= narrow_skinny_rows) {
            constexpr int side = Op::side(Rows, Width);
            kernels.side[Rows][Width] = side;
            kernels.skinny[Rows][Width] = multiply_narrow_tile<Op, Rows, Width, side>;
        }
        if constexpr (Rows < narrow_most_rows) put<Rows + 1, Width>(kernels);
        if constexpr (Rows == 1) kernels.most_rows[Width] = Op::most_rows(Width);
        if constexpr (Rows == 1 && Width < narrow_most_width) put<1, Width + 1>(kernels);
    }

    static constexpr NarrowKernels of() {
        NarrowKernels kernels{};
        kernels.group = Op::group;
        kernels.word_bytes = Op::word_bytes;
        kernels.scaled = Op::scaled;
        kernels.offset = Op::offset;
        kernels.narrow = Op::narrow;
        kernels.expand = Op::expand;
        kernels.pair = Op::pair;
        put<1, 1>(kernels);
        return kernels;
    }
};

}  // namespace fastrnn

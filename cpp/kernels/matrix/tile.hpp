// THE micro-kernel: a block of rows times strips of packed weights, with accumulators in registers.
//
// Every output element is one chain of fma over k = 0, 1, 2, ..., whatever the number of rows, the tile width, the
// vector width or the thread: this keeps the promise of "same bits".
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// Weights are packed in strips of a few vectors of columns: [K][vectors][lanes]. Four vectors if a tile of six rows by
// four fits the registers, else two.
template <int Vectors>
inline constexpr int strip_vectors = Vectors == 4 && vector_registers < 32 ? 2 : Vectors;

// Rows of a tile whose accumulators and operands fit the registers; measured in benchmarks/README.md.
template <int Width>
inline constexpr int max_rows = vector_registers >= 32 ? (Width >= 4 ? 6 : 8) : (Width >= 3 ? 4 : 6);

// Skinny products, of up to this many rows, take several strips at once: with one, each accumulator would wait for its
// own last addition.
inline constexpr int skinny_rows = vector_registers >= 32 ? 0 : 3;

// Most vectors of accumulators of a tile, or of a block of rows and one vector of units.
inline constexpr int max_accumulators = 24;

// Vectors side by side in a tile of a skinny product.
template <int Rows>
inline constexpr int skinny_vectors = Rows == 1   ? 8
                                      : Rows == 2 ? 6
                                                  : 4;

// Copies rows of `width` scalars from rows[r] + offset to a block, and back.
template <class S>
EIGEN_DONT_INLINE void copy_rows(const S* const* rows, Index offset, Index count, Index width, S* block, Index wide) {
    for (Index r = 0; r < count; ++r)
        for (Index j = 0; j < width; ++j) block[r * wide + j] = rows[r][offset + j];
}
template <class S>
EIGEN_DONT_INLINE void copy_rows(const S* block, Index wide, Index count, Index width, S* const* rows, Index offset) {
    for (Index r = 0; r < count; ++r)
        for (Index j = 0; j < width; ++j) rows[r][offset + j] = block[r * wide + j];
}

template <class S, int Rows, int Cols>
struct Tile {
    static constexpr Index wide = Cols * lanes<S>;
    Vec<S> sum[Rows][Cols];

    FASTRNN_INLINE void clear() {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = set(S(0));
        }
    }

    FASTRNN_INLINE void add(const Tile& other) {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = sum[r][c] + other.sum[r][c];
        }
    }

    // Starts every row with the same Cols vectors (a bias).
    FASTRNN_INLINE void start(const S* row) {
        FASTRNN_UNROLL
        for (int c = 0; c < Cols; ++c) {
            const Vec<S> value = load(row + c * lanes<S>);
            FASTRNN_UNROLL
            for (int r = 0; r < Rows; ++r) sum[r][c] = value;
        }
    }

    // Loads row r from, or stores it to, the Cols vectors at rows[r] + offset.
    FASTRNN_INLINE void start(const S* const* rows, Index offset) {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = load(rows[r] + offset + c * lanes<S>);
        }
    }
    FASTRNN_INLINE void store(S* const* rows, Index offset) const {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) fastrnn::store(rows[r] + offset + c * lanes<S>, sum[r][c]);
        }
    }

    // The same for the first `width` scalars only; without masks, by way of a whole tile in memory.
    FASTRNN_INLINE void start_first(const S* const* rows, Index offset, Index width) {
        if (width >= wide) return start(rows, offset);
        if constexpr (has_masks<S>) {
            FASTRNN_UNROLL
            for (int r = 0; r < Rows; ++r) {
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c)
                    sum[r][c] = load_first(rows[r] + offset + c * lanes<S>, width - c * lanes<S>);
            }
            return;
        }
        alignas(64) S block[Rows * wide] = {};
        copy_rows(rows, offset, Rows, width, block, wide);
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = load(block + r * wide + c * lanes<S>);
        }
    }
    FASTRNN_INLINE void store_first(S* const* rows, Index offset, Index width) const {
        if (width >= wide) return store(rows, offset);
        if constexpr (has_masks<S>) {
            FASTRNN_UNROLL
            for (int r = 0; r < Rows; ++r) {
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c)
                    fastrnn::store_first(rows[r] + offset + c * lanes<S>, sum[r][c], width - c * lanes<S>);
            }
            return;
        }
        alignas(64) S block[Rows * wide];
        store_block(block);
        copy_rows(block, wide, Rows, width, rows, offset);
    }

    // Stores the whole tile, rows `stride` scalars apart, for an epilogue with its own loops, compiled once for all
    // heights. Costs one store and load for every K multiply-adds.
    FASTRNN_INLINE void store_block(S* block, Index stride = wide) const {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) fastrnn::store(block + r * stride + c * lanes<S>, sum[r][c]);
        }
    }

    // Adds the sums of a tile in memory.
    FASTRNN_INLINE void add_block(const S* block, Index stride) {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = sum[r][c] + load(block + r * stride + c * lanes<S>);
        }
    }

    // sum[r][:] += a(r, k) * strip[k][:] for k = 0 .. K-1. Strips of `Width` vectors begin `stride` scalars apart.
    template <int Width, class A>
    FASTRNN_INLINE void multiply(const A& a, const S* strip, Index K, Index stride = 0) {
        for (Index k = 0; k < K; ++k, strip += Width * lanes<S>) {
            const auto weight = [&](int c) { return load(strip + c / Width * stride + c % Width * lanes<S>); };
            if constexpr (Rows == 1) {
                const Vec<S> broadcast = set(a(0, k));
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) sum[0][c] = fma(broadcast, weight(c), sum[0][c]);
            } else if constexpr (vector_registers < 32 && Rows <= Cols) {  // 12 accumulators + 3 + 1 = 16 registers
                Vec<S> broadcast[Rows];
                FASTRNN_UNROLL
                for (int r = 0; r < Rows; ++r) broadcast[r] = set(a(r, k));
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) {
                    const Vec<S> w = in_register(weight(c));
                    FASTRNN_UNROLL
                    for (int r = 0; r < Rows; ++r) sum[r][c] = fma(broadcast[r], w, sum[r][c]);
                }
            } else {
                Vec<S> w[Cols];
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) w[c] = in_register(weight(c));
                FASTRNN_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const Vec<S> broadcast = set(a(r, k));
                    FASTRNN_UNROLL
                    for (int c = 0; c < Cols; ++c) sum[r][c] = fma(broadcast, w[c], sum[r][c]);
                }
            }
        }
    }
};

// a(r, k) from one pointer per row.
template <class S, int Rows>
struct RowPointers {
    const S* row[Rows];
    FASTRNN_INLINE explicit RowPointers(const S* const* rows) {
        for (int r = 0; r < Rows; ++r) row[r] = rows[r];
    }
    FASTRNN_INLINE S operator()(int r, Index k) const { return row[r][k]; }
};

// a(r, k) from a block packed as [K][Rows].
template <class S, int Rows>
struct PackedRows {
    const S* block;
    FASTRNN_INLINE S operator()(int r, Index k) const { return block[k * Rows + r]; }
};

}  // namespace fastrnn

// THE micro-kernel: a block of rows times one panel of packed weights, the sums kept in registers.
//
// Every output element is one chain of fma over k = 0, 1, 2, ..., whatever the number of rows, the panel's width, the
// vector width or the thread: this is where the promise of "same bits" is kept.
#pragma once

#include <type_traits>
#include <utility>

#include "simd.hpp"

namespace fastrnn {

// Rows of a tile so that Rows x Cols sums and their operands fit the registers; measured in benchmarks/README.md.
template <int Cols>
inline constexpr int max_rows = vector_registers >= 32 ? (Cols >= 4 ? 6 : 8)
                                                       : (Cols >= 4   ? 3
                                                          : Cols == 3 ? 4
                                                                      : 6);

// Rows of `width` scalars, out of rows[r] + offset and back.
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

    // Every row starts with the same Cols vectors (a bias).
    FASTRNN_INLINE void start(const S* row) {
        FASTRNN_UNROLL
        for (int c = 0; c < Cols; ++c) {
            const Vec<S> value = load(row + c * lanes<S>);
            FASTRNN_UNROLL
            for (int r = 0; r < Rows; ++r) sum[r][c] = value;
        }
    }

    // Row r starts with (or, in store, ends in) Cols vectors at rows[r] + offset.
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

    // The same where only the first `width` scalars of the panel exist: without masks, through a whole tile in memory.
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

    // The whole tile, row by row: what an epilogue reads with loops of its own, compiled once for all heights.
    FASTRNN_INLINE void store_block(S* block) const {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) fastrnn::store(block + r * wide + c * lanes<S>, sum[r][c]);
        }
    }

    // sum[r][:] += a(r, k) * panel[k][:] for k = 0 .. K-1, where a(r, k) is what `A` reads.
    template <class A>
    FASTRNN_INLINE void multiply(const A& a, const S* panel, Index K) {
        for (Index k = 0; k < K; ++k, panel += Cols * lanes<S>) {
            if constexpr (vector_registers < 32 && Rows <= Cols) {  // broadcasts first: 12 sums + 3 + 1 = 16 registers
                Vec<S> broadcast[Rows];
                FASTRNN_UNROLL
                for (int r = 0; r < Rows; ++r) broadcast[r] = set(a(r, k));
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) {
                    const Vec<S> weight = load(panel + c * lanes<S>);
                    FASTRNN_UNROLL
                    for (int r = 0; r < Rows; ++r) sum[r][c] = fma(broadcast[r], weight, sum[r][c]);
                }
            } else {
                Vec<S> weight[Cols];
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) weight[c] = load(panel + c * lanes<S>);
                FASTRNN_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const Vec<S> broadcast = set(a(r, k));
                    FASTRNN_UNROLL
                    for (int c = 0; c < Cols; ++c) sum[r][c] = fma(broadcast, weight[c], sum[r][c]);
                }
            }
        }
    }
};

// a(r, k) from one pointer a row.
template <class S, int Rows>
struct RowPointers {
    const S* row[Rows];
    FASTRNN_INLINE explicit RowPointers(const S* const* rows) {
        for (int r = 0; r < Rows; ++r) row[r] = rows[r];
    }
    FASTRNN_INLINE S operator()(int r, Index k) const { return row[r][k]; }
};

// a(r, k) from a block packed as [K][stride].
template <class S>
struct PackedRows {
    const S* block;
    Index stride;
    FASTRNN_INLINE S operator()(int r, Index k) const { return block[k * stride + r]; }
};

// A cell's epilogue: finish(sums of a row, r) for every row of a tile. It goes through the first-level cache, so that
// the epilogue is compiled once and not for every height; that costs one load and store for each K multiply-adds.
template <class S, int Rows, int Cols, class Finish>
FASTRNN_INLINE void finish_rows(const Tile<S, Rows, Cols>& tile, Finish&& finish) {
    alignas(64) S block[Rows * Cols * lanes<S>];
    tile.store_block(block);
    for (Index r = 0; r < Rows; ++r) finish(block + r * Cols * lanes<S>, r);
}

// Calls f(std::integral_constant<int, n>) for a run-time n in 1 .. Max.
template <int Max, class F>
FASTRNN_INLINE void with_constant(Index n, F&& f) {
    if constexpr (Max > 1) {
        if (n < Max) return with_constant<Max - 1>(n, std::forward<F>(f));
    }
    f(std::integral_constant<int, Max>{});
}

// Cuts rows begin .. end-1 into blocks of nearly equal height, at most Max: f(constant height, first row).
template <int Max, class F>
FASTRNN_INLINE void for_row_blocks(Index begin, Index end, F&& f) {
    const Index blocks = (end - begin + Max - 1) / Max;
    for (Index b = 0, first = begin; b < blocks; ++b) {
        const Index height = (end - first + blocks - b - 1) / (blocks - b);
        with_constant<Max>(height, [&](auto rows) { f(rows, first); });
        first += height;
    }
}

// Plain panels cut `columns` columns into panels of four vectors, the last one narrower: f(constant width in vectors,
// first column). A panel of K rows that begins at column c lies at offset c * K.
inline constexpr int panel_vectors = 4;

template <class S, class F>
FASTRNN_INLINE void for_panels(Index begin_column, Index end_column, F&& f) {
    for (Index column = begin_column; column < end_column; column += panel_vectors * lanes<S>) {
        const Index left = (end_column - column + lanes<S> - 1) / lanes<S>;
        with_constant<panel_vectors>(left < panel_vectors ? left : panel_vectors,
                                     [&](auto vectors) { f(vectors, column); });
    }
}

}  // namespace fastrnn

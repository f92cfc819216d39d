// THE micro-kernel: a block of rows times strips of packed weights, the sums kept in registers.
//
// Every output element is one chain of fma over k = 0, 1, 2, ..., whatever the number of rows, the tile's width, the
// vector width or the thread: this is where the promise of "same bits" is kept.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// Weights are packed in strips: of all rows k = 0 .. K-1 a few vectors of columns side by side, [K][vectors][lanes].
// Four vectors where a tile of six rows by four fits the registers, two where they are few.
template <int Vectors>
inline constexpr int strip_vectors = Vectors == 4 && vector_registers < 32 ? 2 : Vectors;

// Rows of a tile so that its sums and their operands fit the registers; measured in benchmarks/README.md.
template <int Width>
inline constexpr int max_rows = vector_registers >= 32 ? (Width >= 4 ? 6 : 8) : (Width >= 3 ? 4 : 6);

// Up to so many rows do not keep the multiply-adds busy with one strip: each sum would wait for its own last addition.
inline constexpr int few_rows = vector_registers >= 32 ? 0 : 3;

// Vectors of sums that a block of rows has for one vector of units, or a tile, at most.
inline constexpr int most_sums = 24;

// Vectors that a tile of few rows takes side by side.
template <int Rows>
inline constexpr int vectors_at_once = Rows == 1   ? 8
                                       : Rows == 2 ? 6
                                                   : 4;

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

    FASTRNN_INLINE void add(const Tile& other) {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) sum[r][c] = sum[r][c] + other.sum[r][c];
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

    // The whole tile, rows `stride` scalars apart: what an epilogue reads with loops of its own, compiled once for all
    // heights. That costs one load and store for each K multiply-adds.
    FASTRNN_INLINE void store_block(S* block, Index stride = wide) const {
        FASTRNN_UNROLL
        for (int r = 0; r < Rows; ++r) {
            FASTRNN_UNROLL
            for (int c = 0; c < Cols; ++c) fastrnn::store(block + r * stride + c * lanes<S>, sum[r][c]);
        }
    }

    // sum[r][:] += a(r, k) * strip[k][:] for k = 0 .. K-1, where a(r, k) is what `A` reads. Strips side by side, of
    // `Width` vectors each, begin `stride` scalars apart.
    template <int Width, class A>
    FASTRNN_INLINE void multiply(const A& a, const S* strip, Index K, Index stride = 0) {
        for (Index k = 0; k < K; ++k, strip += Width * lanes<S>) {
            const auto weight = [&](int c) { return load(strip + c / Width * stride + c % Width * lanes<S>); };
            if constexpr (Rows == 1) {
                const Vec<S> broadcast = set(a(0, k));
                FASTRNN_UNROLL
                for (int c = 0; c < Cols; ++c) sum[0][c] = fma(broadcast, weight(c), sum[0][c]);
            } else if constexpr (vector_registers < 32 && Rows <= Cols) {  // 12 sums + 3 + 1 = 16 registers
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

// a(r, k) from one pointer a row.
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

// All tiles of rows x strips of `Width` vectors, in blocks of `depth`: f(constant height, constant number of strips
// side by side, first row, first strip, first k, depth). A strip meets all rows before the next one is read.
template <int Width, class F>
FASTRNN_INLINE void for_tiles(Range rows, Index strips, Index K, Index depth, F&& f) {
    const Index count = rows.end - rows.begin;
    if constexpr (few_rows > 0) {
        if (count <= few_rows && count > 0) {
            with_constant<few_rows>(count, [&](auto height) {
                constexpr int most = vectors_at_once<height> / Width;
                for (Index strip = 0; strip < strips; strip += most)
                    with_constant<most>(std::min<Index>(most, strips - strip), [&](auto side) {
                        for (Index k = 0; k == 0 || k < K; k += depth)
                            f(height, side, rows.begin, strip, k, std::min(depth, K - k));
                    });
            });
            return;
        }
    }
    for (Index strip = 0; strip < strips; ++strip)
        for (Index k = 0; k == 0 || k < K; k += depth)
            for_row_blocks<max_rows<Width>>(rows.begin, rows.end, [&](auto height, Index first) {
                f(height, std::integral_constant<int, 1>{}, first, strip, k, std::min(depth, K - k));
            });
}

// Plain panels cut `columns` columns into strips of `panel_vectors`, the last one narrower: f(constant width in
// vectors, first column). A strip of K rows that begins at column c lies at offset c * K.
inline constexpr int panel_vectors = strip_vectors<4>;

template <class S, class F>
FASTRNN_INLINE void for_panels(Index begin_column, Index end_column, F&& f) {
    for (Index column = begin_column; column < end_column; column += panel_vectors * lanes<S>) {
        const Index left = (end_column - column + lanes<S> - 1) / lanes<S>;
        with_constant<panel_vectors>(left < panel_vectors ? left : panel_vectors,
                                     [&](auto vectors) { f(vectors, column); });
    }
}

// The same as tiles with `rows`: f(constant height, constant width of a strip, constant number of strips side by side,
// first row, first column, first k, depth).
template <class S, class F>
FASTRNN_INLINE void for_panel_tiles(Range rows, Range columns, Index K, Index depth, F&& f) {
    constexpr Index wide = panel_vectors * lanes<S>;
    const Index vectors = (columns.end - columns.begin + lanes<S> - 1) / lanes<S>;
    const auto tiles = [&](auto width, Index begin, Index strips) {
        for_tiles<width>(rows, strips, K, depth,
                         [&](auto height, auto side, Index row, Index strip, Index k, Index part) {
                             f(height, width, side, row, begin + strip * wide, k, part);
                         });
    };
    const Index whole = vectors / panel_vectors, rest = vectors % panel_vectors;
    if (whole > 0) tiles(std::integral_constant<int, panel_vectors>{}, columns.begin, whole);
    if (rest > 0)
        with_constant<panel_vectors - 1>(rest, [&](auto width) { tiles(width, columns.begin + whole * wide, 1); });
}

// The gates of some units at one step: start(tile, first row, first unit, first gate) and the product of the rows of
// `a` with gate panels [unit][strip][K][width][lanes]; then finish(sums, stride, height, first row, unit) for every
// block of rows and vector of units: its sums stand as [height][Gates][lanes], rows `stride` apart, and are its own to
// write to.
template <int Gates, class S, class Start, class Finish>
FASTRNN_INLINE void for_gate_tiles(const S* const* a, Range rows, Range units, const S* panels, Index K, Start&& start,
                                   Finish&& finish) {
    constexpr int width = strip_vectors<Gates>;
    constexpr Index strip = width * lanes<S>, all = Gates * lanes<S>;
    alignas(64) S sums[most_sums * lanes<S>];
    const Index count = rows.end - rows.begin;
    if constexpr (few_rows > 0) {
        if (count <= few_rows && count > 0) {
            with_constant<few_rows>(count, [&](auto height) {
                constexpr int most = std::max(vectors_at_once<height> / Gates, 1);
                for (Index unit = units.begin; unit < units.end; unit += most * lanes<S>) {
                    const Index left = (units.end - unit + lanes<S> - 1) / lanes<S>;
                    with_constant<most>(std::min<Index>(most, left), [&](auto vectors) {
                        Tile<S, height, vectors * Gates> tile;
                        start(tile, rows.begin, unit, 0);
                        tile.template multiply<width>(RowPointers<S, height>(a + rows.begin), panels + unit * Gates * K,
                                                      K, strip * K);
                        tile.store_block(sums);
                        for (Index v = 0; v < vectors; ++v)
                            finish(sums + v * all, vectors * all, height, rows.begin, unit + v * lanes<S>);
                    });
                }
            });
            return;
        }
    }
    for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
        for_row_blocks<max_rows<width>>(rows.begin, rows.end, [&](auto height, Index first) {
            FASTRNN_UNROLL
            for (int gate = 0; gate < Gates; gate += width) {
                Tile<S, height, width> tile;
                start(tile, first, unit, gate);
                tile.template multiply<width>(RowPointers<S, height>(a + first),
                                              panels + (unit * Gates + gate * lanes<S>)*K, K);
                tile.store_block(sums + gate * lanes<S>, all);
            }
            finish(sums, all, height, first, unit);
        });
}

}  // namespace fastrnn

// How rows and columns are cut into tiles, and the order in which the tiles are computed.
//
//     columns of a product, in strips of `width` vectors           memory of the packed weights
//     +-----------+-----------+-----+                               strip 0: k=0 [w w w w] k=1 [w w w w] ... k=K-1
//  rows |  tile   |  tile   | last|  rows of a block: at most       strip 1: k=0 [w w w w] ...
//     +-----------+-----------+strip  max_rows<width>               each [w] is one vector of `lanes` columns
//     |  tile     |  tile     |     |
//     +-----------+-----------+-----+   a strip stays in the cache while all blocks of rows use it
#pragma once

#include <type_traits>
#include <utility>

#include "kernels/matrix/tile.hpp"

namespace fastrnn {

// Calls f(std::integral_constant<int, n>) for a run-time n in 1 .. Max.
template <int Max, class F>
FASTRNN_INLINE void with_constant(Index n, F&& f) {
    if constexpr (Max > 1) {
        if (n < Max) return with_constant<Max - 1>(n, std::forward<F>(f));
    }
    f(std::integral_constant<int, Max>{});
}

// Cuts rows begin .. end-1 into blocks of almost equal height, at most Max: f(constant height, first row).
template <int Max, class F>
FASTRNN_INLINE void for_row_blocks(Index begin, Index end, F&& f) {
    const Index blocks = (end - begin + Max - 1) / Max;
    for (Index b = 0, first = begin; b < blocks; ++b) {
        const Index height = (end - first + blocks - b - 1) / (blocks - b);
        with_constant<Max>(height, [&](auto rows) { f(rows, first); });
        first += height;
    }
}

// Calls f(constant height, constant number of strips, first row, first strip, first k, depth) for all tiles of rows x
// strips of `Width` vectors, in blocks of `depth`. A strip is multiplied with all rows before the next one is read.
template <int Width, class F>
FASTRNN_INLINE void for_tiles(Range rows, Index strips, Index K, Index depth, F&& f) {
    const Index count = rows.end - rows.begin;
    if constexpr (skinny_rows > 0) {
        if (count <= skinny_rows && count > 0) {
            with_constant<skinny_rows>(count, [&](auto height) {
                constexpr int most = skinny_vectors<height> / Width;
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

// Plain panels: strips of `panel_vectors` vectors of columns, the last one narrower. The strip from column c on begins
// at offset c * K. Calls f(constant width in vectors, first column).
inline constexpr int panel_vectors = strip_vectors<4>;

template <class S, class F>
FASTRNN_INLINE void for_panels(Index begin_column, Index end_column, F&& f) {
    for (Index column = begin_column; column < end_column; column += panel_vectors * lanes<S>) {
        const Index left = (end_column - column + lanes<S> - 1) / lanes<S>;
        with_constant<panel_vectors>(left < panel_vectors ? left : panel_vectors,
                                     [&](auto vectors) { f(vectors, column); });
    }
}

// Tiles of plain panels: f(constant height, constant width of a strip, constant number of strips, first row, first
// column, first k, depth).
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

}  // namespace fastrnn

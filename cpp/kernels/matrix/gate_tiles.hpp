// The gates of some units at one step: their sums, tile by tile, each followed by the cell's own part.
#pragma once

#include "kernels/matrix/narrow_product.hpp"

namespace fastrnn {

// The gates of some units at one step: start(tile, first row, first unit, first gate), the product of the rows of `a`
// with gate panels [unit][strip][K][width][lanes], then epilogue(sums, stride, height, first row, unit) for every block
// of rows and vector of units. Its sums are [height][Gates][lanes], rows `stride` apart; it may write to them.
template <int Gates, class S, class Start, class Epilogue>
FASTRNN_INLINE void for_gate_tiles(const S* const* a, Range rows, Range units, const PanelsOf<S>& packed, Index K,
                                   const NarrowMemory& memory, Start&& start, Epilogue&& epilogue) {
    if constexpr (std::is_same_v<S, float>)
        if (packed.narrow) return for_narrow_gate_tiles<Gates>(a, rows, units, packed, K, memory, start, epilogue);
    const S* const panels = packed.scalars;
    constexpr int width = strip_vectors<Gates>;
    constexpr Index strip = width * lanes<S>, all = Gates * lanes<S>;
    alignas(64) S sums[max_accumulators * lanes<S>];
    const Index count = rows.end - rows.begin;
    if constexpr (skinny_rows > 0) {
        if (count <= skinny_rows && count > 0) {
            with_constant<skinny_rows>(count, [&](auto height) {
                constexpr int most = std::max(skinny_vectors<height> / Gates, 1);
                for (Index unit = units.begin; unit < units.end; unit += most * lanes<S>) {
                    const Index left = (units.end - unit + lanes<S> - 1) / lanes<S>;
                    with_constant<most>(std::min<Index>(most, left), [&](auto vectors) {
                        Tile<S, height, vectors * Gates> tile;
                        start(tile, rows.begin, unit, 0);
                        tile.template multiply<width>(RowPointers<S, height>(a + rows.begin), panels + unit * Gates * K,
                                                      K, strip * K);
                        tile.store_block(sums);
                        for (Index v = 0; v < vectors; ++v)
                            epilogue(sums + v * all, vectors * all, height, rows.begin, unit + v * lanes<S>);
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
            epilogue(sums, all, height, first, unit);
        });
}

}  // namespace fastrnn

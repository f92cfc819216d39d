// Large products: many rows times packed weights (inputs, logits, dX).
#pragma once

#include <algorithm>

#include "kernels/matrix/narrow_product.hpp"
#include "kernels/matrix/packing.hpp"

namespace fastrnn {

// Depth of the blocks of a product: a strip of one stays in the L2 cache while all rows are multiplied with it. Blocks
// of almost equal depth, because accumulators go to memory and back between them.
inline Index block_depth(Index K) {
    constexpr Index max_depth = vector_registers >= 32 ? 512 : 1024;
    const Index blocks = std::max<Index>(1, (K + max_depth - 1) / max_depth);
    return std::max<Index>(1, (K + blocks - 1) / blocks);
}

// out[m][out0 + first..columns) = start + a[m][a0 + 0..K) times plain panels. `start` is `out` if `accumulate`, else
// `bias` (padded to whole vectors), or zero if that is null. `first` must be where a panel begins.
template <class S>
struct Product {
    const S* const* a;
    S* const* out;
    Panels<S> panels;
    const S* bias;
    Index K, columns;
    bool accumulate = false;
    Index a0 = 0, out0 = 0, first = 0;
    bool add = false;          // adds the sum to `out`; K at most one block deep
    NarrowMemory memory = {};  // of panels of fewer bits, which always add the sum to what it starts with
};

// Pointers to the rows of a tile, from element `offset` on.
template <class S, int Rows>
FASTRNN_INLINE RowPointers<S, Rows> rows_from(const S* const* rows, Index offset) {
    RowPointers<S, Rows> moved(rows);
    for (const S*& row : moved.row) row += offset;
    return moved;
}

// The same with panels of fewer bits; kernels/matrix/narrow_product.cpp.
void multiply_narrow_panels(const Product<float>& p, Index begin, Index end);
void multiply_narrow_gate_panels(const Product<float>& p, Index gates, Range rows, Range units);
void gather_narrow_panels(Index id, float* out, const Panels<float>& panels, const float* bias, Index gates, Index K,
                          Range units);

template <class S>
void multiply_panels(const Product<S>& p, Index begin, Index end) {
    if constexpr (std::is_same_v<S, float>)
        if (p.panels.narrow) return multiply_narrow_panels(p, begin, end);
    for_panel_tiles<S>({begin, end}, {p.first, p.columns}, p.K, block_depth(p.K),
                       [&](auto height, auto width, auto side, Index row, Index column, Index k, Index depth) {
                           constexpr Index strip = width * lanes<S>;
                           Tile<S, height, width * side> tile;
                           if (k > 0 || p.accumulate)
                               tile.start_first(p.out + row, p.out0 + column, p.columns - column);
                           else if (p.bias)
                               tile.start(p.bias + column);
                           else
                               tile.clear();
                           tile.template multiply<width>(rows_from<S, height>(p.a + row, p.a0 + k),
                                                         p.panels + column * p.K + k * strip, depth, strip * p.K);
                           if (p.add) {
                               Tile<S, height, width * side> before;
                               before.start_first(p.out + row, p.out0 + column, p.columns - column);
                               tile.add(before);
                           }
                           tile.store_first(p.out + row, p.out0 + column, p.columns - column);
                       });
}

// The same with gate panels: out[m] = start + W a[m] for some units, `out` and `bias` in the layout
// [unit][gates][lanes]. p.columns, p.first and p.add are not read.
template <int Gates, class S>
void multiply_gate_panels(const Product<S>& p, Range rows, Range units) {
    if constexpr (std::is_same_v<S, float>)
        if (p.panels.narrow) return multiply_narrow_gate_panels(p, Gates, rows, units);
    constexpr int width = strip_vectors<Gates>;
    constexpr Index strip = width * lanes<S>;
    const Index first = units.begin * Gates, strips = (round_up_to_lanes<S>(units.end) * Gates - first) / strip;
    for_tiles<width>(rows, strips, p.K, block_depth(p.K),
                     [&](auto height, auto side, Index row, Index number, Index k, Index depth) {
                         const Index column = first + number * strip;
                         Tile<S, height, width * side> tile;
                         if (k == 0 && !p.accumulate)
                             tile.start(p.bias + column);
                         else
                             tile.start(p.out + row, p.out0 + column);
                         tile.template multiply<width>(rows_from<S, height>(p.a + row, p.a0 + k),
                                                       p.panels + column * p.K + k * strip, depth, strip * p.K);
                         tile.store(p.out + row, p.out0 + column);
                     });
}

// The same for a = row `id` of the identity: gathers one row of W^T. An id of -1 stands for zeros: only the bias is
// left.
template <class S>
void gather_gate_panels(Index id, S* out, const PanelsOf<S>& panels, const S* bias, Index gates, Index K, Range units) {
    if constexpr (std::is_same_v<S, float>)
        if (panels.narrow) return gather_narrow_panels(id, out, panels, bias, gates, K, units);
    for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
        for (Index gate = 0; gate < gates; ++gate) {
            const GateVector<S> from(unit, gate, gates, K);
            const Index at = unit * gates + gate * lanes<S>;
            const Vec<S> start = load(bias + at);
            store(out + at, id < 0 ? start : start + load(panels + from.offset + id * from.stride));
        }
}

// The same with plain panels.
template <class S>
void gather_plain_panels(Index id, S* out, const PanelsOf<S>& panels, const S* bias, Index K, Range units) {
    if constexpr (std::is_same_v<S, float>)
        if (panels.narrow) return gather_narrow_panels(id, out, panels, bias, 0, K, units);
    for_panels<S>(units.begin, units.end, [&](auto vectors, Index unit) {
        const Index wide = vectors * lanes<S>;
        const S* row = panels + unit * K + std::max<Index>(id, 0) * wide;
        for (Index j = 0; j < wide; j += lanes<S>) {
            const Vec<S> start = load(bias + unit + j);
            store(out + unit + j, id < 0 ? start : start + load(row + j));
        }
    });
}

// Instantiated once (bindings/product.cpp), as every cell and layer uses them.
#define FASTRNN_PRODUCTS(EXTERN, S)                                                   \
    EXTERN template void multiply_panels<S>(const Product<S>&, Index, Index);         \
    EXTERN template void multiply_gate_panels<2, S>(const Product<S>&, Range, Range); \
    EXTERN template void multiply_gate_panels<3, S>(const Product<S>&, Range, Range); \
    EXTERN template void multiply_gate_panels<4, S>(const Product<S>&, Range, Range);

FASTRNN_PRODUCTS(extern, float)
FASTRNN_PRODUCTS(extern, double)

}  // namespace fastrnn

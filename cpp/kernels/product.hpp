// The large products: many rows times packed weights (inputs, logits, dX), and A^T B over time and batch (dW).
#pragma once

#include <algorithm>

#include "pack.hpp"
#include "panel.hpp"

namespace fastrnn {

// Depth of a block of a product, so that a panel of it (512 x 4 vectors) rests in the second-level cache.
inline constexpr Index depth_block = 512;

// out[m][out0 + first..columns) = start + a[m][a0 + 0..K) times plain panels, for rows begin .. end-1. `bias` is padded
// to whole vectors; null starts from zero, and with `accumulate` from what stands in `out`. `first`: where a panel
// begins.
template <class S>
struct Product {
    const S* const* a;
    S* const* out;
    const S* panels;
    const S* bias;
    Index K, columns;
    bool accumulate = false;
    Index a0 = 0, out0 = 0, first = 0;
};

// The rows of a tile, from element `offset` on.
template <class S, int Rows>
FASTRNN_INLINE RowPointers<S, Rows> rows_from(const S* const* rows, Index offset) {
    RowPointers<S, Rows> moved(rows);
    for (const S*& row : moved.row) row += offset;
    return moved;
}

template <class S>
void multiply_panels(const Product<S>& p, Index begin, Index end) {
    for_panel_tiles<S>({begin, end}, {p.first, p.columns}, p.K, depth_block,
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
                           tile.store_first(p.out + row, p.out0 + column, p.columns - column);
                       });
}

// out[m] = bias + W a[m] in the layout [unit][gates][lanes], for gate panels and bias; some of the units.
template <int Gates, class S>
void multiply_gate_panels(const S* const* a, S* const* out, Range tokens, const S* panels, const S* bias, Index K,
                          Range units) {
    constexpr int width = strip_vectors<Gates>;
    constexpr Index strip = width * lanes<S>;
    const Index first = units.begin * Gates, strips = (round_up_to_lanes<S>(units.end) * Gates - first) / strip;
    for_tiles<width>(tokens, strips, K, depth_block,
                     [&](auto height, auto side, Index row, Index number, Index k, Index depth) {
                         const Index column = first + number * strip;
                         Tile<S, height, width * side> tile;
                         if (k == 0)
                             tile.start(bias + column);
                         else
                             tile.start(out + row, column);
                         tile.template multiply<width>(rows_from<S, height>(a + row, k),
                                                       panels + column * K + k * strip, depth, strip * K);
                         tile.store(out + row, column);
                     });
}

// The same for a = row `id` of the identity: a gather of one row of W^T.
template <class S>
void gather_gate_panels(Index id, S* out, const S* panels, const S* bias, Index gates, Index K, Range units) {
    for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
        for (Index gate = 0; gate < gates; ++gate) {
            const GateVector<S> from(unit, gate, gates, K);
            const Index at = unit * gates + gate * lanes<S>;
            store(out + at, load(bias + at) + load(panels + from.offset + id * from.stride));
        }
}

// The same of plain panels.
template <class S>
void gather_plain_panels(Index id, S* out, const S* panels, const S* bias, Index K, Range units) {
    for_panels<S>(units.begin, units.end, [&](auto vectors, Index unit) {
        const Index wide = vectors * lanes<S>;
        const S* row = panels + unit * K + id * wide;
        for (Index j = 0; j < wide; j += lanes<S>) store(out + unit + j, load(bias + unit + j) + load(row + j));
    });
}

// C[m][0..columns) += sum over k = 0 .. K-1 of a[k][m] * b[k][0..columns), for m = begin .. end-1.
template <class S>
struct OuterProduct {
    const S* const* a;
    const S* const* b;
    S* c;
    Index K, columns, c_stride;
};

inline constexpr Index outer_rows = 96;  // of C, for which a block of A is packed once
inline constexpr Index outer_columns =
    256;  // of C, for which a block of B is packed once; both rest in the second level

template <class S>
constexpr Index outer_workspace() {
    return depth_block * (outer_rows + outer_columns);
}

// rows[k][first .. first + width), copied side by side: to[k * stride + j]; `width` is rounded up to whole vectors.
template <class S>
FASTRNN_INLINE void pack_columns(const S* const* rows, Index K, Index first, Index width, S* to, Index stride) {
    for (Index k = 0; k < K; ++k, to += stride)
        for (Index j = 0; j < width; j += lanes<S>) store(to + j, load_first(rows[k] + first + j, width - j));
}

inline constexpr int outer_height = max_rows<panel_vectors>;

// rows[k][begin .. end), cut into the heights of tiles: tile [K][height] behind tile.
template <class S>
void pack_tiles(const S* const* rows, Index K, Range range, S* to) {
    for_row_blocks<outer_height>(range.begin, range.end, [&](auto height, Index first) {
        for (Index k = 0; k < K; ++k, to += height)
            for (int r = 0; r < height; ++r) to[r] = rows[k][first + r];
    });
}

// What one block of A and one of B add to rows m0 .. m1-1, columns c0 .. c1-1.
template <class S>
void accumulate_outer_block(const OuterProduct<S>& p, Range rows, Range columns, const S* packed_a, const S* packed_b) {
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        constexpr int cols = decltype(vectors)::value;
        const S* const panel = packed_b + (column - columns.begin) * p.K;
        for_row_blocks<outer_height>(rows.begin, rows.end, [&](auto tall, Index first) {
            S* c_rows[tall];
            for (int r = 0; r < tall; ++r) c_rows[r] = p.c + (first + r) * p.c_stride;
            for (Index r = first + tall; r < std::min<Index>(first + tall + outer_height, rows.end); ++r)
                for (int c = 0; c < cols; ++c) prefetch(p.c + r * p.c_stride + column + c * lanes<S>);
            Tile<S, tall, cols> tile;
            tile.start_first(c_rows, column, p.columns - column);
            tile.template multiply<cols>(PackedRows<S, tall>{packed_a + (first - rows.begin) * p.K}, panel, p.K);
            tile.store_first(c_rows, column, p.columns - column);
        });
    });
}

// `workspace` holds outer_workspace<S>() scalars. Every element of C is one chain of fma over k.
template <class S>
void accumulate_outer(const OuterProduct<S>& p, Index begin, Index end, S* workspace) {
    S* const packed_a = workspace;
    S* const packed_b = workspace + depth_block * outer_rows;
    for (Index k0 = 0; k0 < p.K; k0 += depth_block) {
        const Index K = std::min(depth_block, p.K - k0);
        const OuterProduct<S> block{p.a + k0, p.b + k0, p.c, K, p.columns, p.c_stride};
        for (Index c0 = 0; c0 < p.columns; c0 += outer_columns) {
            const Range columns{c0, std::min(c0 + outer_columns, p.columns)};
            for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
                const Index wide = vectors * lanes<S>;
                pack_columns(block.b, K, column, std::min(wide, p.columns - column), packed_b + (column - c0) * K,
                             wide);
            });
            for (Index m0 = begin; m0 < end; m0 += outer_rows) {
                const Range rows{m0, std::min(m0 + outer_rows, end)};
                pack_tiles(block.a, K, rows, packed_a);
                accumulate_outer_block(block, rows, columns, packed_a, packed_b);
            }
        }
    }
}

// to[m] += sum over k = 0 .. K-1 of a[k][m], for m = begin .. end-1, each in the order of k.
template <class S>
void accumulate_rows(const S* const* a, Index K, Index begin, Index end, S* to) {
    constexpr int wide = 8;  // vectors side by side, so that no sum waits for its own last addition
    for (; begin + wide * lanes<S> <= end; begin += wide * lanes<S>) {
        Vec<S> sum[wide];
        FASTRNN_UNROLL
        for (int i = 0; i < wide; ++i) sum[i] = load(to + begin + i * lanes<S>);
        for (Index k = 0; k < K; ++k) {
            FASTRNN_UNROLL
            for (int i = 0; i < wide; ++i) sum[i] = sum[i] + load(a[k] + begin + i * lanes<S>);
        }
        FASTRNN_UNROLL
        for (int i = 0; i < wide; ++i) store(to + begin + i * lanes<S>, sum[i]);
    }
    for (; begin < end; begin += lanes<S>) {
        Vec<S> sum = load_first(to + begin, end - begin);
        for (Index k = 0; k < K; ++k) sum = sum + load_first(a[k] + begin, end - begin);
        store_first(to + begin, sum, end - begin);
    }
}

// Compiled once (bindings/product.cpp): every cell and layer stands on these.
#define FASTRNN_PRODUCTS(EXTERN, S)                                                                               \
    EXTERN template void multiply_panels<S>(const Product<S>&, Index, Index);                                     \
    EXTERN template void multiply_gate_panels<2, S>(const S* const*, S* const*, Range, const S*, const S*, Index, \
                                                    Range);                                                       \
    EXTERN template void multiply_gate_panels<3, S>(const S* const*, S* const*, Range, const S*, const S*, Index, \
                                                    Range);                                                       \
    EXTERN template void multiply_gate_panels<4, S>(const S* const*, S* const*, Range, const S*, const S*, Index, \
                                                    Range);                                                       \
    EXTERN template void accumulate_outer<S>(const OuterProduct<S>&, Index, Index, S*);                           \
    EXTERN template void accumulate_rows<S>(const S* const*, Index, Index, Index, S*);

FASTRNN_PRODUCTS(extern, float)
FASTRNN_PRODUCTS(extern, double)

}  // namespace fastrnn

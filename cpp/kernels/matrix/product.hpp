// The large products: many rows times packed weights (inputs, logits, dX), and A^T B over time and batch (dW).
#pragma once

#include <algorithm>

#include "kernels/matrix/packing.hpp"
#include "kernels/matrix/tile.hpp"

namespace fastrnn {

// Depth of the blocks of a product: a strip of one rests in the second-level cache while all rows meet it. Blocks of
// nearly equal depth, as the sums go to memory and back between two of them.
inline Index depth_of_blocks(Index K) {
    constexpr Index most = vector_registers >= 32 ? 512 : 1024;
    const Index blocks = std::max<Index>(1, (K + most - 1) / most);
    return std::max<Index>(1, (K + blocks - 1) / blocks);
}

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
    bool add = false;  // the sum, over K of one block of depth at most, is added to `out`
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
    for_panel_tiles<S>({begin, end}, {p.first, p.columns}, p.K, depth_of_blocks(p.K),
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

// out[m] = bias + W a[m] in the layout [unit][gates][lanes], for gate panels and bias; some of the units.
template <int Gates, class S>
void multiply_gate_panels(const S* const* a, S* const* out, Range tokens, const S* panels, const S* bias, Index K,
                          Range units) {
    constexpr int width = strip_vectors<Gates>;
    constexpr Index strip = width * lanes<S>;
    const Index first = units.begin * Gates, strips = (round_up_to_lanes<S>(units.end) * Gates - first) / strip;
    for_tiles<width>(tokens, strips, K, depth_of_blocks(K),
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

// The same for a = row `id` of the identity: a gather of one row of W^T. Of id -1, zeros, the bias is all there is.
template <class S>
void gather_gate_panels(Index id, S* out, const S* panels, const S* bias, Index gates, Index K, Range units) {
    for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
        for (Index gate = 0; gate < gates; ++gate) {
            const GateVector<S> from(unit, gate, gates, K);
            const Index at = unit * gates + gate * lanes<S>;
            const Vec<S> start = load(bias + at);
            store(out + at, id < 0 ? start : start + load(panels + from.offset + id * from.stride));
        }
}

// The same of plain panels.
template <class S>
void gather_plain_panels(Index id, S* out, const S* panels, const S* bias, Index K, Range units) {
    for_panels<S>(units.begin, units.end, [&](auto vectors, Index unit) {
        const Index wide = vectors * lanes<S>;
        const S* row = panels + unit * K + std::max<Index>(id, 0) * wide;
        for (Index j = 0; j < wide; j += lanes<S>) {
            const Vec<S> start = load(bias + unit + j);
            store(out + unit + j, id < 0 ? start : start + load(row + j));
        }
    });
}

// What rows of B add to C: c[m][0..columns) += sum over k = 0 .. K-1 of a[k][m] * b[k][0..columns).
template <class S>
struct OuterSide {
    const S* const* b = nullptr;
    S* c = nullptr;
    Index columns = 0;
};

// The sum over k, for rows m of C. Both sides meet the same A, which is packed once for them; one may be empty.
template <class S>
struct OuterProduct {
    const S* const* a;
    Index a_width;  // scalars of a row of A that may be read
    Index K;
    OuterSide<S> sides[2];
};

inline constexpr int outer_height = max_rows<panel_vectors>;
inline constexpr Index outer_rows = 96;       // of C, for which A is packed at a time: it rests in the second level
inline constexpr Index outer_columns = 2048;  // of a side, for which B is packed at a time
inline constexpr Index outer_depth = 512;     // steps of K for which both are packed
inline constexpr Index outer_few = 4;         // steps of K for which nothing is packed

template <class S>
constexpr Index outer_workspace(Index columns, Index others = 0) {
    return outer_depth * (outer_rows + round_up_to_lanes<S>(std::min(columns, outer_columns)) +
                          round_up_to_lanes<S>(std::min(others, outer_columns))) +
           Index(64 / sizeof(S));
}

// rows[k][first .. first + width), copied side by side: to[k * stride + j]; `width` is rounded up to whole vectors.
template <class S>
FASTRNN_INLINE void pack_columns(const S* const* rows, Index K, Index first, Index width, S* to, Index stride) {
    for (Index k = 0; k < K; ++k, to += stride)
        for (Index j = 0; j < width; j += lanes<S>) store(to + j, load_first(rows[k] + first + j, width - j));
}

// a[k][range], cut into the heights of tiles: tile [K][height] behind tile. Whole vectors are copied, the next row over
// what is too much of the one before; so `to` has a vector more than that.
template <class S>
void pack_tiles(const OuterProduct<S>& p, Range range, S* to) {
    for_row_blocks<outer_height>(range.begin, range.end, [&](auto height, Index first) {
        constexpr Index read = round_up_to_lanes<S>(height);
        if (first + read <= p.a_width) {
            for (Index k = 0; k < p.K; ++k, to += height)
                for (Index r = 0; r < height; r += lanes<S>) store(to + r, load(p.a[k] + first + r));
            return;
        }
        for (Index k = 0; k < p.K; ++k, to += height)
            for (int r = 0; r < height; ++r) to[r] = p.a[k][first + r];
    });
}

// What packed blocks of A and of B add to the rows and columns of C.
template <class S>
void accumulate_block(const OuterSide<S>& side, Index K, Range rows, Range columns, const S* packed_a,
                      const S* packed_b) {
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        constexpr int cols = decltype(vectors)::value;
        const S* const panel = packed_b + (column - columns.begin) * K;
        for_row_blocks<outer_height>(rows.begin, rows.end, [&](auto tall, Index first) {
            S* c_rows[tall];
            for (int r = 0; r < tall; ++r) c_rows[r] = side.c + (first + r) * side.columns;
            for (Index r = first + tall; r < std::min<Index>(first + tall + outer_height, rows.end); ++r)
                for (int c = 0; c < cols; ++c) prefetch(side.c + r * side.columns + column + c * lanes<S>);
            Tile<S, tall, cols> tile;
            tile.start_first(c_rows, column, side.columns - column);
            tile.template multiply<cols>(PackedRows<S, tall>{packed_a + (first - rows.begin) * K}, panel, K);
            tile.store_first(c_rows, column, side.columns - column);
        });
    });
}

// A few steps of K: C, which is all there is to read and write, once from its beginning to its end.
template <class S>
void accumulate_few(const OuterProduct<S>& p, Range rows) {
    with_constant<outer_few>(p.K, [&](auto K) {
        for (const OuterSide<S>& side : p.sides)
            for (Index m = rows.begin; m < rows.end; ++m) {
                S* const c = side.c + m * side.columns;
                const Index whole = side.columns / lanes<S> * lanes<S>, rest = side.columns - whole;
                Vec<S> a[K];
                for (int k = 0; k < K; ++k) a[k] = set(p.a[k][m]);
                for (Index j = 0; j < whole; j += lanes<S>) {
                    Vec<S> sum = load(c + j);
                    for (int k = 0; k < K; ++k) sum = fma(a[k], load(side.b[k] + j), sum);
                    store(c + j, sum);
                }
                if (rest == 0) continue;
                Vec<S> sum = load_first(c + whole, rest);
                for (int k = 0; k < K; ++k) sum = fma(a[k], load_first(side.b[k] + whole, rest), sum);
                store_first(c + whole, sum, rest);
            }
    });
}

// Columns of B, packed: panel [K][vectors][lanes] behind panel.
template <class S>
void pack_side(const OuterSide<S>& side, Index K, Range columns, S* to) {
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<S>;
        pack_columns(side.b, K, column, std::min(wide, side.columns - column), to + (column - columns.begin) * K, wide);
    });
}

// What A and packed columns of B add to rows of C. `packed_a` holds outer_depth * outer_rows scalars and a vector more.
template <class S>
void accumulate_packed(const OuterProduct<S>& p, Range all, const Range (&columns)[2], const S* const (&packed_b)[2],
                       S* packed_a) {
    for (Index m0 = all.begin; m0 < all.end; m0 += outer_rows) {
        const Range rows{m0, std::min(m0 + outer_rows, all.end)};
        pack_tiles(p, rows, packed_a);
        for (int i = 0; i < 2; ++i) accumulate_block(p.sides[i], p.K, rows, columns[i], packed_a, packed_b[i]);
    }
}

// `workspace` holds outer_workspace<S>(columns of both sides). Every element of C is one chain of fma over k.
template <class S>
void accumulate_outer(const OuterProduct<S>& product, Range all, S* workspace) {
    if (product.K <= outer_few) {
        if (product.K > 0) accumulate_few(product, all);
        return;
    }
    const Index most = std::max(product.sides[0].columns, product.sides[1].columns);
    for (Index k0 = 0; k0 < product.K; k0 += outer_depth)
        for (Index c0 = 0; c0 < most; c0 += outer_columns) {
            OuterProduct<S> p = product;
            p.a += k0;
            p.K = std::min(outer_depth, product.K - k0);
            S* const packed_a = workspace;
            S* to = workspace + outer_depth * outer_rows + 64 / sizeof(S);
            const S* packed_b[2];
            Range columns[2];
            for (int i = 0; i < 2; ++i) {
                p.sides[i].b += k0;
                columns[i] = {std::min(c0, p.sides[i].columns), std::min(c0 + outer_columns, p.sides[i].columns)};
                pack_side(p.sides[i], p.K, columns[i], to);
                packed_b[i] = to;
                to += round_up_to_lanes<S>(columns[i].end - columns[i].begin) * p.K;
            }
            accumulate_packed(p, all, columns, packed_b, packed_a);
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
#define FASTRNN_PRODUCTS(EXTERN, S)                                                                                   \
    EXTERN template void multiply_panels<S>(const Product<S>&, Index, Index);                                         \
    EXTERN template void multiply_gate_panels<2, S>(const S* const*, S* const*, Range, const S*, const S*, Index,     \
                                                    Range);                                                           \
    EXTERN template void multiply_gate_panels<3, S>(const S* const*, S* const*, Range, const S*, const S*, Index,     \
                                                    Range);                                                           \
    EXTERN template void multiply_gate_panels<4, S>(const S* const*, S* const*, Range, const S*, const S*, Index,     \
                                                    Range);                                                           \
    EXTERN template void accumulate_outer<S>(const OuterProduct<S>&, Range, S*);                                      \
    EXTERN template void accumulate_packed<S>(const OuterProduct<S>&, Range, const Range(&)[2], const S* const(&)[2], \
                                              S*);                                                                    \
    EXTERN template void accumulate_rows<S>(const S* const*, Index, Index, Index, S*);

FASTRNN_PRODUCTS(extern, float)
FASTRNN_PRODUCTS(extern, double)

}  // namespace fastrnn

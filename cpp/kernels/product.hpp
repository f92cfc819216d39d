// The large products: many rows times packed weights (inputs, logits, dX), and A^T B over time and batch (dW).
#pragma once

#include <algorithm>

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

template <class S>
void multiply_panels(const Product<S>& p, Index begin, Index end) {
    for_panels<S>(p.first, p.columns, [&](auto vectors, Index column) {
        constexpr int cols = decltype(vectors)::value;
        const Index width = p.columns - column;
        Index k = 0;
        do {  // at least once, so that K = 0 writes the start
            const Index depth = std::min(depth_block, p.K - k);
            const S* panel = p.panels + column * p.K + k * cols * lanes<S>;
            for_row_blocks<max_rows<cols>>(begin, end, [&](auto rows, Index first) {
                Tile<S, rows, cols> tile;
                if (k > 0 || p.accumulate)
                    tile.start_first(p.out + first, p.out0 + column, width);
                else if (p.bias)
                    tile.start(p.bias + column);
                else
                    tile.clear();
                const S* shifted[rows];
                for (int r = 0; r < rows; ++r) shifted[r] = p.a[first + r] + p.a0 + k;
                tile.multiply(RowPointers<S, rows>(shifted), panel, depth);
                tile.store_first(p.out + first, p.out0 + column, width);
            });
            k += depth;
        } while (k < p.K);
    });
}

// out[m] = bias + W a[m] in the layout [panel][gates][lanes], for gate-interleaved panels and bias; some of the units.
template <int Gates, class S>
void multiply_gate_panels(const S* const* a, S* const* out, Range tokens, const S* panels, const S* bias, Index K,
                          Range units) {
    for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
        for (Index k = 0; k == 0 || k < K; k += depth_block)
            for_row_blocks<max_rows<Gates>>(tokens.begin, tokens.end, [&](auto rows, Index first) {
                Tile<S, rows, Gates> tile;
                if (k == 0)
                    tile.start(bias + unit * Gates);
                else
                    tile.start(out + first, unit * Gates);
                const S* shifted[rows];
                for (int r = 0; r < rows; ++r) shifted[r] = a[first + r] + k;
                tile.multiply(RowPointers<S, rows>(shifted), panels + (unit * K + k * lanes<S>)*Gates,
                              std::min(depth_block, K - k));
                tile.store(out + first, unit * Gates);
            });
}

// The same for a = row `id` of the identity: a gather of one row of W^T.
template <class S>
void gather_gate_panels(Index id, S* out, const S* panels, const S* bias, Index gates, Index K, Range units) {
    for (Index at = units.begin * gates; at < round_up_to_lanes<S>(units.end) * gates; at += gates * lanes<S>)
        for (Index j = 0; j < gates * lanes<S>; j += lanes<S>)
            store(out + at + j, load(bias + at + j) + load(panels + at * K + id * gates * lanes<S> + j));
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

// What one block of A and one of B add to rows m0 .. m1-1, columns c0 .. c1-1.
template <class S>
void accumulate_outer_block(const OuterProduct<S>& p, Range rows, Range columns, const S* packed_a, const S* packed_b) {
    constexpr int height = max_rows<panel_vectors>;
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        constexpr int cols = decltype(vectors)::value;
        const S* const panel = packed_b + (column - columns.begin) * p.K;
        for_row_blocks<height>(rows.begin, rows.end, [&](auto tall, Index first) {
            S* c_rows[tall];
            for (int r = 0; r < tall; ++r) c_rows[r] = p.c + (first + r) * p.c_stride;
            for (Index r = first + tall; r < std::min(first + tall + height, rows.end); ++r)
                for (int c = 0; c < cols; ++c) prefetch(p.c + r * p.c_stride + column + c * lanes<S>);
            Tile<S, tall, cols> tile;
            tile.start_first(c_rows, column, p.columns - column);
            tile.multiply(PackedRows<S>{packed_a + (first - rows.begin), outer_rows}, panel, p.K);
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
                pack_columns(block.a, K, m0, rows.end - m0, packed_a, outer_rows);
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

// The large products: many rows times packed weights (inputs, logits, dX), and A^T B over time and batch (dW).
#pragma once

#include <algorithm>

#include "panel.hpp"

namespace fastrnn {

// Depth of a block of a product, so that a panel of it (512 x 4 vectors) rests in the second-level cache.
inline constexpr Index depth_block = 512;

// out[m][out0 + 0..columns) = start + a[m][a0 + 0..K) times plain panels, for rows begin .. end-1. `bias` is padded to
// whole vectors; null starts from zero, and with `accumulate` from what stands in `out`.
template <class S>
struct Product {
    const S* const* a;
    S* const* out;
    const S* panels;
    const S* bias;
    Index K, columns;
    bool accumulate = false;
    Index a0 = 0, out0 = 0;
};

template <class S>
void multiply_panels(const Product<S>& p, Index begin, Index end) {
    for_panels<S>(0, p.columns, [&](auto vectors, Index column) {
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

// out[m] = bias + W a[m] in the layout [panel][gates][lanes], for gate-interleaved panels and bias.
template <int Gates, class S>
void multiply_gate_panels(const S* const* a, S* const* out, Index begin, Index end, const S* panels, const S* bias,
                          Index K, Index H) {
    for (Index unit = 0; unit < H; unit += lanes<S>)
        for (Index k = 0; k == 0 || k < K; k += depth_block)
            for_row_blocks<max_rows<Gates>>(begin, end, [&](auto rows, Index first) {
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
void gather_gate_panels(Index id, S* out, const S* panels, const S* bias, Index gates, Index K, Index H) {
    const Index wide = gates * lanes<S>;
    for (Index unit = 0; unit < H; unit += lanes<S>, panels += K * wide, bias += wide, out += wide)
        for (Index j = 0; j < wide; j += lanes<S>) store(out + j, load(bias + j) + load(panels + id * wide + j));
}

// The same of plain panels.
template <class S>
void gather_plain_panels(Index id, S* out, const S* panels, const S* bias, Index K, Index H) {
    for_panels<S>(0, H, [&](auto vectors, Index unit) {
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

inline constexpr Index outer_rows = 96;  // rows of C that share a packed block of B

template <class S>
constexpr Index outer_workspace() {
    return depth_block * (outer_rows + panel_vectors * lanes<S>);
}

// `workspace` holds outer_workspace<S>() scalars. Every element of C is one chain of fma over k.
template <class S>
void accumulate_outer(const OuterProduct<S>& p, Index begin, Index end, S* workspace) {
    constexpr int height = max_rows<panel_vectors>;
    S* const packed_a = workspace;
    S* const packed_b = workspace + depth_block * outer_rows;
    for (Index k0 = 0; k0 < p.K; k0 += depth_block) {
        const Index K = std::min(depth_block, p.K - k0);
        for (Index m0 = begin; m0 < end; m0 += outer_rows) {
            const Index m1 = std::min(m0 + outer_rows, end);
            for_row_blocks<height>(m0, m1, [&](auto rows, Index first) {
                S* to = packed_a + (first - m0) * K;
                for (Index k = 0; k < K; ++k)
                    for (int r = 0; r < rows; ++r) *to++ = p.a[k0 + k][first + r];
            });
            for_panels<S>(0, p.columns, [&](auto vectors, Index column) {
                constexpr int cols = decltype(vectors)::value;
                for (Index k = 0; k < K; ++k)
                    for (int c = 0; c < cols; ++c) {
                        const Index at = column + c * lanes<S>;
                        store(packed_b + (k * cols + c) * lanes<S>, load_first(p.b[k0 + k] + at, p.columns - at));
                    }
                for_row_blocks<height>(m0, m1, [&](auto rows, Index first) {
                    S* c_rows[rows];
                    for (int r = 0; r < rows; ++r) c_rows[r] = p.c + (first + r) * p.c_stride;
                    Tile<S, rows, cols> tile;
                    tile.start_first(c_rows, column, p.columns - column);
                    tile.multiply(PackedRows<S, rows>{packed_a + (first - m0) * K}, packed_b, K);
                    tile.store_first(c_rows, column, p.columns - column);
                });
            });
        }
    }
}

// to[m] += sum over k = 0 .. K-1 of a[k][m], for m = begin .. end-1, each in the order of k.
template <class S>
void accumulate_rows(const S* const* a, Index K, Index begin, Index end, S* to) {
    for (Index m = begin; m < end; m += lanes<S>) {
        Vec<S> sum = load_first(to + m, end - m);
        for (Index k = 0; k < K; ++k) sum = sum + load_first(a[k] + m, end - m);
        store_first(to + m, sum, end - m);
    }
}

// Compiled once (bindings/product.cpp): every cell and layer stands on these.
#define FASTRNN_PRODUCTS(EXTERN, S)                                                                               \
    EXTERN template void multiply_panels<S>(const Product<S>&, Index, Index);                                     \
    EXTERN template void multiply_gate_panels<2, S>(const S* const*, S* const*, Index, Index, const S*, const S*, \
                                                    Index, Index);                                                \
    EXTERN template void multiply_gate_panels<3, S>(const S* const*, S* const*, Index, Index, const S*, const S*, \
                                                    Index, Index);                                                \
    EXTERN template void multiply_gate_panels<4, S>(const S* const*, S* const*, Index, Index, const S*, const S*, \
                                                    Index, Index);                                                \
    EXTERN template void accumulate_outer<S>(const OuterProduct<S>&, Index, Index, S*);                           \
    EXTERN template void accumulate_rows<S>(const S* const*, Index, Index, Index, S*);

FASTRNN_PRODUCTS(extern, float)
FASTRNN_PRODUCTS(extern, double)

}  // namespace fastrnn

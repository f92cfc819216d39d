// C += A^T B over time and batch: weight gradients (dW).
#pragma once

#include <algorithm>

#include "kernels/matrix/packing.hpp"

namespace fastrnn {

// One B and C: c[m][0..columns) += sum over k = 0 .. K-1 of a[k][m] * b[k][0..columns).
template <class S>
struct OuterSide {
    const S* const* b = nullptr;
    S* c = nullptr;
    Index columns = 0;
    Index shift = 0;  // column m of A is added to row m - shift of C

    S* row(Index m) const { return c + (m - shift) * columns; }
};

// Both sides are multiplied with the same A, packed once. Either side may be empty.
template <class S>
struct OuterProduct {
    const S* const* a;
    Index a_width;  // scalars per row of A that may be read
    Index K;
    OuterSide<S> sides[2];
};

inline constexpr int outer_height = max_rows<panel_vectors>;
inline constexpr Index outer_rows = 96;       // of C per packed block of A, which fits the L2 cache
inline constexpr Index outer_columns = 2048;  // of a side per packed block of B
inline constexpr Index outer_depth = 512;     // steps of K per packed block of either
inline constexpr Index outer_unpacked = 4;    // with up to this many steps of K, nothing is packed

template <class S>
constexpr Index outer_workspace(Index columns, Index others = 0) {
    return outer_depth * (outer_rows + round_up_to_lanes<S>(std::min(columns, outer_columns)) +
                          round_up_to_lanes<S>(std::min(others, outer_columns))) +
           Index(64 / sizeof(S));
}

// Copies rows[k][first .. first + width) to to[k * stride + j], zero-padded to whole vectors.
template <class S>
FASTRNN_INLINE void pack_columns(const S* const* rows, Index K, Index first, Index width, S* to, Index stride) {
    for (Index k = 0; k < K; ++k, to += stride)
        for (Index j = 0; j < width; j += lanes<S>) store(to + j, load_first(rows[k] + first + j, width - j));
}

// Packs a[k][range] by tiles, each [K][height]. Whole vectors are copied, and each row overwrites the excess of the one
// before, so `to` needs room for one more vector.
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

// Adds the product of packed blocks of A and B to C.
template <class S>
void accumulate_block(const OuterSide<S>& side, Index K, Range rows, Range columns, const S* packed_a,
                      const S* packed_b) {
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        constexpr int cols = decltype(vectors)::value;
        const S* const panel = packed_b + (column - columns.begin) * K;
        for_row_blocks<outer_height>(rows.begin, rows.end, [&](auto tall, Index first) {
            S* c_rows[tall];
            for (int r = 0; r < tall; ++r) c_rows[r] = side.row(first + r);
            for (Index r = first + tall; r < std::min<Index>(first + tall + outer_height, rows.end); ++r)
                for (int c = 0; c < cols; ++c) prefetch(side.row(r) + column + c * lanes<S>);
            Tile<S, tall, cols> tile;
            tile.start_first(c_rows, column, side.columns - column);
            tile.template multiply<cols>(PackedRows<S, tall>{packed_a + (first - rows.begin) * K}, panel, K);
            tile.store_first(c_rows, column, side.columns - column);
        });
    });
}

// The product for few steps of K, without packing: one pass over C, which dominates the memory traffic.
template <class S>
void accumulate_unpacked(const OuterProduct<S>& p, Range rows) {
    with_constant<outer_unpacked>(p.K, [&](auto K) {
        for (const OuterSide<S>& side : p.sides)
            for (Index m = rows.begin; side.columns > 0 && m < rows.end; ++m) {
                S* const c = side.row(m);
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

// Packs columns of B as panels, each [K][vectors][lanes].
template <class S>
void pack_side(const OuterSide<S>& side, Index K, Range columns, S* to) {
    for_panels<S>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<S>;
        pack_columns(side.b, K, column, std::min(wide, side.columns - column), to + (column - columns.begin) * K, wide);
    });
}

// Adds A times packed columns of B to rows of C. `packed_a`: room for outer_depth * outer_rows scalars and one vector.
template <class S>
void accumulate_packed(const OuterProduct<S>& p, Range all, const Range (&columns)[2], const S* const (&packed_b)[2],
                       S* packed_a) {
    for (Index m0 = all.begin; m0 < all.end; m0 += outer_rows) {
        const Range rows{m0, std::min(m0 + outer_rows, all.end)};
        pack_tiles(p, rows, packed_a);
        for (int i = 0; i < 2; ++i) accumulate_block(p.sides[i], p.K, rows, columns[i], packed_a, packed_b[i]);
    }
}

// Adds both products to C. `workspace`: outer_workspace<S>(columns of each side) scalars. Every element of C is one
// chain of fma over k.
template <class S>
void accumulate_outer(const OuterProduct<S>& product, Range all, S* workspace) {
    if (product.K <= outer_unpacked) {
        if (product.K > 0) accumulate_unpacked(product, all);
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
                if (p.sides[i].b) p.sides[i].b += k0;
                columns[i] = {std::min(c0, p.sides[i].columns), std::min(c0 + outer_columns, p.sides[i].columns)};
                pack_side(p.sides[i], p.K, columns[i], to);
                packed_b[i] = to;
                to += round_up_to_lanes<S>(columns[i].end - columns[i].begin) * p.K;
            }
            accumulate_packed(p, all, columns, packed_b, packed_a);
        }
}

// to[m - begin] += sum over k = 0 .. K-1 of a[k][m], for m = begin .. end-1, each in the order of k.
template <class S>
void accumulate_rows(const S* const* a, Index K, Index begin, Index end, S* to) {
    constexpr int wide = 8;  // vectors side by side, so that no accumulator waits for its own last addition
    for (; begin + wide * lanes<S> <= end; begin += wide * lanes<S>, to += wide * lanes<S>) {
        Vec<S> sum[wide];
        FASTRNN_UNROLL
        for (int i = 0; i < wide; ++i) sum[i] = load(to + i * lanes<S>);
        for (Index k = 0; k < K; ++k) {
            FASTRNN_UNROLL
            for (int i = 0; i < wide; ++i) sum[i] = sum[i] + load(a[k] + begin + i * lanes<S>);
        }
        FASTRNN_UNROLL
        for (int i = 0; i < wide; ++i) store(to + i * lanes<S>, sum[i]);
    }
    for (; begin < end; begin += lanes<S>, to += lanes<S>) {
        Vec<S> sum = load_first(to, end - begin);
        for (Index k = 0; k < K; ++k) sum = sum + load_first(a[k] + begin, end - begin);
        store_first(to, sum, end - begin);
    }
}

// Instantiated once (bindings/product.cpp).
#define FASTRNN_OUTER_PRODUCTS(EXTERN, S)                                                                             \
    EXTERN template void accumulate_outer<S>(const OuterProduct<S>&, Range, S*);                                      \
    EXTERN template void accumulate_packed<S>(const OuterProduct<S>&, Range, const Range(&)[2], const S* const(&)[2], \
                                              S*);                                                                    \
    EXTERN template void accumulate_rows<S>(const S* const*, Index, Index, Index, S*);

FASTRNN_OUTER_PRODUCTS(extern, float)
FASTRNN_OUTER_PRODUCTS(extern, double)

}  // namespace fastrnn

// Products of small matrices that lie where they are: nothing is packed. Every element is one sum in one fixed order,
// so that it does not depend on how many others are computed with it.
#pragma once

#include "kernels/matrix/tiling.hpp"

namespace fastrnn {

// A matrix: element (i, k) is data[i * row + k * step].
template <class S>
struct Strided {
    const S* data;
    Index row, step;
};

inline constexpr bool many_registers = vector_registers >= 32;
inline constexpr int small_rows = many_registers ? 4 : 2;
template <int Rows>
inline constexpr int small_columns = Rows > 2         ? 4
                                     : many_registers ? 8
                                                      : 2;
template <int Rows>
inline constexpr int small_vectors = many_registers ? (Rows > 1 ? 4 : 8) : (Rows > 1 ? 2 : 4);

// out[i * out.row + j] = scale * (a_i . b_j) for Rows x Columns pairs of rows with `depth` elements.
template <int Rows, int Columns, class S>
FASTRNN_INLINE void dot_tile(const S* a, Index a_row, const S* b, Index b_row, Index depth, S scale, S* out,
                             Index out_row) {
    LaneSum<S> sum[Rows][Columns];
    constexpr Index parts = LaneSum<S>::width / lanes<S>;
    const auto add = [&](Index k, Index part, auto&& read) {
        Vec<S> right[Columns];
        FASTRNN_UNROLL
        for (int j = 0; j < Columns; ++j) right[j] = read(b + j * b_row + k);
        FASTRNN_UNROLL
        for (int i = 0; i < Rows; ++i) {
            const Vec<S> left = read(a + i * a_row + k);
            FASTRNN_UNROLL
            for (int j = 0; j < Columns; ++j) sum[i][j].part[part] = fma(left, right[j], sum[i][j].part[part]);
        }
    };
    Index k = 0;
    for (; k + LaneSum<S>::width <= depth; k += LaneSum<S>::width) {
        FASTRNN_UNROLL
        for (Index part = 0; part < parts; ++part)
            add(k + part * lanes<S>, part, [](const S* from) { return load(from); });
    }
    for (Index part = 0; k < depth; ++part, k += lanes<S>)
        add(k, part, [&](const S* from) { return load_first(from, depth - k); });
    for (int i = 0; i < Rows; ++i)
        for (int j = 0; j < Columns; ++j) out[i * out_row + j] = scale * sum[i][j].total();
}

// out[i * out_row + j] = scale * (a_i . b_j) for i < rows, j < columns.
template <class S>
void dot_products(const S* a, Index a_row, Index rows, const S* b, Index b_row, Index columns, Index depth, S scale,
                  S* out, Index out_row) {
    for_row_blocks<small_rows>(0, rows, [&](auto height, Index i) {
        constexpr int wide = small_columns<height>;
        Index j = 0;
        for (; j + wide <= columns; j += wide)
            dot_tile<height, wide>(a + i * a_row, a_row, b + j * b_row, b_row, depth, scale, out + i * out_row + j,
                                   out_row);
        for (; j < columns; ++j)
            dot_tile<height, 1>(a + i * a_row, a_row, b + j * b_row, b_row, depth, scale, out + i * out_row + j,
                                out_row);
    });
}

// One tile of combine_rows: `Vectors` vectors of columns, the last one perhaps in part.
template <int Rows, int Vectors, bool Whole, class S>
FASTRNN_INLINE void combine_tile(const Strided<S>& a, const S* b, Index b_row, Index depth, S* out, Index out_row,
                                 Index columns, bool accumulate) {
    const auto read = [&](const S* from) {
        if constexpr (Whole) return load(from);
        return load_first(from, columns);
    };
    Vec<S> sum[Rows][Vectors];
    FASTRNN_UNROLL
    for (int i = 0; i < Rows; ++i) {
        FASTRNN_UNROLL
        for (int v = 0; v < Vectors; ++v) sum[i][v] = accumulate ? read(out + i * out_row + v * lanes<S>) : set(S(0));
    }
    for (Index k = 0; k < depth; ++k) {
        Vec<S> right[Vectors];
        FASTRNN_UNROLL
        for (int v = 0; v < Vectors; ++v) right[v] = read(b + k * b_row + v * lanes<S>);
        FASTRNN_UNROLL
        for (int i = 0; i < Rows; ++i) {
            const Vec<S> left = set(a.data[i * a.row + k * a.step]);
            FASTRNN_UNROLL
            for (int v = 0; v < Vectors; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
        }
    }
    FASTRNN_UNROLL
    for (int i = 0; i < Rows; ++i) {
        FASTRNN_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            if constexpr (Whole)
                store(out + i * out_row + v * lanes<S>, sum[i][v]);
            else
                store_first(out + i * out_row + v * lanes<S>, sum[i][v], columns);
        }
    }
}

// out_i = start + sum over k = 0 .. depth-1 of a(i, k) b_k, rows with `columns` elements; start is out_i if
// `accumulate`, else zero. Every element is one chain of fma over k.
template <class S>
void combine_rows(const Strided<S>& a, Index rows, const S* b, Index b_row, Index depth, S* out, Index out_row,
                  Index columns, bool accumulate) {
    for_row_blocks<small_rows>(0, rows, [&](auto height, Index i) {
        constexpr int most = small_vectors<height>;
        const Strided<S> left{a.data + i * a.row, a.row, a.step};
        S* const to = out + i * out_row;
        Index j = 0;
        for (; j + most * lanes<S> <= columns; j += most * lanes<S>)
            combine_tile<height, most, true>(left, b + j, b_row, depth, to + j, out_row, columns, accumulate);
        for (; j + lanes<S> <= columns; j += lanes<S>)
            combine_tile<height, 1, true>(left, b + j, b_row, depth, to + j, out_row, columns, accumulate);
        if (j < columns)
            combine_tile<height, 1, false>(left, b + j, b_row, depth, to + j, out_row, columns - j, accumulate);
    });
}

}  // namespace fastrnn

// y = W x with a sparse square W, in sliced ELLPACK (SELL-C-sigma of Kreutzer et al. 2014).
//
// Rows of W, sorted by their number of elements, lie in slices of eight. A slice holds the first elements of its eight
// rows, then the second ones, and so on, so that eight sums grow at the same time:
//
//     weights    w[r0][0] w[r1][0] ... w[r7][0]   w[r0][1] ...        columns    the same places
//
// Where a row has fewer elements than its slice is long, there is -0.0 in a column that always holds 0: it changes no
// sum, not even its sign. So every sum is one chain of fma from 0, in the order in which W was given.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/vector/scalar.hpp"

namespace fastrnn {

inline constexpr Index slice_rows = 8;

constexpr Index count_slices(Index H) { return (H + slice_rows - 1) / slice_rows; }

// W [H, H]; the owner of the arrays outlives it. x has H + 1 elements, of which the last is 0.
template <class S>
struct SparseWeights {
    Index H = 0, slices = 0;
    const std::uint32_t* rows = nullptr;  // [slices][8]: the row of W; H where there is none
    const Index* starts = nullptr;        // [slices + 1]: of each slice, in groups of eight elements
    const S* weights = nullptr;           // [starts[slices]][8]
    // Of the two, the one that is not null: half the bytes where numbers up to H fit.
    const std::uint16_t* columns = nullptr;
    const std::uint32_t* wide_columns = nullptr;

    Index groups() const { return starts[slices]; }

    // The slices of a piece, about equal numbers of elements each.
    Range part(int piece, int pieces) const {
        const auto at = [&](int which) {
            return Index(std::lower_bound(starts, starts + slices, groups() * which / pieces) - starts);
        };
        return {at(piece), piece + 1 == pieces ? slices : at(piece + 1)};
    }
};

// Sorts the rows by length, longest first, and finds where slices start; returns the number of groups. `ends`: where
// each row begins in the arrays of W, and the end, [H + 1].
inline Index order_rows(const std::int64_t* ends, Index H, std::uint32_t* rows, Index* starts) {
    const auto length = [&](Index row) { return row < H ? std::size_t(ends[row + 1] - ends[row]) : 0; };
    std::size_t longest = 0;
    for (Index row = 0; row < H; ++row) longest = std::max(longest, length(row));
    std::vector<Index> longer(longest + 1);  // rows that are longer than this
    for (Index row = 0; row < H; ++row)
        if (length(row) > 0) ++longer[length(row) - 1];
    for (std::size_t n = longest; n-- > 0;) longer[n] += longer[n + 1];
    const Index slices = count_slices(H);
    for (Index row = 0; row < H; ++row) rows[longer[length(row)]++] = std::uint32_t(row);
    for (Index i = H; i < slices * slice_rows; ++i) rows[i] = std::uint32_t(H);
    starts[0] = 0;
    for (Index s = 0; s < slices; ++s) starts[s + 1] = starts[s] + Index(length(rows[s * slice_rows]));
    return starts[slices];
}

// Lists which element of the compressed rows each element of the slices is, [groups][8]; -1 is none.
inline void list_elements(const std::uint32_t* rows, const Index* starts, const std::int64_t* ends, Index H,
                          std::int64_t* from) {
    for (Index s = 0; s < count_slices(H); ++s)
        for (Index k = starts[s]; k < starts[s + 1]; ++k)
            for (Index i = s * slice_rows; i < (s + 1) * slice_rows; ++i) {
                const std::int64_t next = rows[i] < H ? ends[rows[i]] + (k - starts[s]) : 0;
                *from++ = rows[i] < H && next < ends[rows[i] + 1] ? next : -1;
            }
}

// Reads eight columns: a load of four at a time, because loads are what limits the product.
FASTRNN_INLINE void read_columns(const std::uint16_t* from, Index (&to)[slice_rows]) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    std::uint64_t four[2];
    std::memcpy(four, from, sizeof four);
    FASTRNN_UNROLL
    for (int i = 0; i < slice_rows; ++i) to[i] = Index(four[i / 4] >> (i % 4 * 16) & 0xffff);
#else
    for (int i = 0; i < slice_rows; ++i) to[i] = from[i];
#endif
}
FASTRNN_INLINE void read_columns(const std::uint32_t* from, Index (&to)[slice_rows]) {
    FASTRNN_UNROLL
    for (int i = 0; i < slice_rows; ++i) to[i] = from[i];
}

// y[row] = W x for the rows of some slices. Scalars: gather instructions gain little on some CPUs and lose much on
// others. y: H + 1 elements; the last takes what belongs to no row.
template <class S, class Column>
EIGEN_DONT_INLINE void multiply_slices(const SparseWeights<S>& w, const Column* columns, Range slices, const S* x,
                                       S* y) {
    for (Index s = slices.begin; s < slices.end; ++s) {
        S sum[slice_rows] = {};
        for (Index k = w.starts[s]; k < w.starts[s + 1]; ++k) {
            Index column[slice_rows];
            read_columns(columns + k * slice_rows, column);
            const S* const weight = w.weights + k * slice_rows;
            FASTRNN_UNROLL
            for (int i = 0; i < slice_rows; ++i) sum[i] = in_register(fma(weight[i], x[column[i]], sum[i]));
        }
        for (int i = 0; i < slice_rows; ++i) y[w.rows[s * slice_rows + i]] = sum[i];
    }
}

// The same for as many vectors x as there are lanes, x and y [H + 1][lanes].
template <class S, class Column>
EIGEN_DONT_INLINE void multiply_slices_by_lanes(const SparseWeights<S>& w, const Column* columns, Range slices,
                                                const S* x, S* y) {
    for (Index s = slices.begin; s < slices.end; ++s) {
        Vec<S> sum[slice_rows];
        for (auto& one : sum) one = set(S(0));
        for (Index k = w.starts[s]; k < w.starts[s + 1]; ++k) {
            const S* const weight = w.weights + k * slice_rows;
            const Column* const column = columns + k * slice_rows;
            FASTRNN_UNROLL
            for (int i = 0; i < slice_rows; ++i)
                sum[i] = fma(set(weight[i]), load(x + Index(column[i]) * lanes<S>), sum[i]);
        }
        for (int i = 0; i < slice_rows; ++i) store(y + Index(w.rows[s * slice_rows + i]) * lanes<S>, sum[i]);
    }
}

// `by_lanes`: x and y are those of multiply_slices_by_lanes.
template <class S>
void multiply_sparse(const SparseWeights<S>& w, bool by_lanes, Range slices, const S* x, S* y) {
    const auto multiply = [&](const auto* columns) {
        by_lanes ? multiply_slices_by_lanes(w, columns, slices, x, y) : multiply_slices(w, columns, slices, x, y);
    };
    w.columns ? multiply(w.columns) : multiply(w.wide_columns);
}

}  // namespace fastrnn

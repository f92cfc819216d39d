// y = W x with a sparse square W, in sliced ELLPACK (SELL-C-sigma of Kreutzer et al. 2014).
//
// Rows of W, sorted by their number of elements, lie in slices of eight or more. A slice holds the first elements of
// its rows, then the second ones, and so on, so that as many sums grow at the same time:
//
//     weights    w[r0][0] w[r1][0] ... w[r7][0]   w[r0][1] ...        columns    the same places
//
// Where a row has fewer elements than its slice is long, there is -0.0 in a column that always holds 0: it changes no
// sum, not even its sign. So every sum is one chain of fma from 0, in the order in which W was given.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/vector/gather.hpp"
#include "kernels/vector/scalar.hpp"

namespace fastrnn {

// Rows of a slice: enough sums to hide the latency of an fma, and a vector where there are gathers.
template <class S>
inline constexpr Index slice_rows = has_gather ? lanes<S> : 8;

template <class S>
constexpr Index count_slices(Index H) {
    return (H + slice_rows<S> - 1) / slice_rows<S>;
}

// W [H, H]; the owner of the arrays outlives it. x has H + 1 elements, of which the last is 0.
template <class S>
struct SparseWeights {
    Index H = 0, slices = 0;
    const std::uint32_t* rows = nullptr;  // [slices][rows of a slice]: the row of W; H where there is none
    const Index* starts = nullptr;        // [slices + 1]: of each slice, in groups of that many elements
    const S* weights = nullptr;           // [starts[slices]][rows of a slice]
    // Of the two, the one that is not null: half the bytes where numbers up to H fit.
    const std::uint16_t* columns = nullptr;
    const std::uint32_t* wide_columns = nullptr;
    bool gathers = has_gather;  // whether gather instructions are used

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
// each row begins in the arrays of W, and the end, [H + 1]; `height`: rows of a slice.
inline Index order_rows(const std::int64_t* ends, Index H, Index height, std::uint32_t* rows, Index* starts) {
    const auto length = [&](Index row) { return row < H ? std::size_t(ends[row + 1] - ends[row]) : 0; };
    std::size_t longest = 0;
    for (Index row = 0; row < H; ++row) longest = std::max(longest, length(row));
    std::vector<Index> longer(longest + 1);  // rows that are longer than this
    for (Index row = 0; row < H; ++row)
        if (length(row) > 0) ++longer[length(row) - 1];
    for (std::size_t n = longest; n-- > 0;) longer[n] += longer[n + 1];
    const Index slices = (H + height - 1) / height;
    for (Index row = 0; row < H; ++row) rows[longer[length(row)]++] = std::uint32_t(row);
    for (Index i = H; i < slices * height; ++i) rows[i] = std::uint32_t(H);
    starts[0] = 0;
    for (Index s = 0; s < slices; ++s) starts[s + 1] = starts[s] + Index(length(rows[s * height]));
    return starts[slices];
}

// Lists which element of the compressed rows each element of the slices is, [groups][height]; -1 is none.
inline void list_elements(const std::uint32_t* rows, const Index* starts, const std::int64_t* ends, Index H,
                          Index height, std::int64_t* from) {
    for (Index s = 0; s < (H + height - 1) / height; ++s)
        for (Index k = starts[s]; k < starts[s + 1]; ++k)
            for (Index i = s * height; i < (s + 1) * height; ++i) {
                const std::int64_t next = rows[i] < H ? ends[rows[i]] + (k - starts[s]) : 0;
                *from++ = rows[i] < H && next < ends[rows[i] + 1] ? next : -1;
            }
}

// Reads columns, four at a time where they are narrow, because loads are what limits the product.
template <Index count>
FASTRNN_INLINE void read_columns(const std::uint16_t* from, Index (&to)[count]) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    std::uint64_t four[count / 4];
    std::memcpy(four, from, sizeof four);
    FASTRNN_UNROLL
    for (int i = 0; i < count; ++i) to[i] = Index(four[i / 4] >> (i % 4 * 16) & 0xffff);
#else
    for (int i = 0; i < count; ++i) to[i] = from[i];
#endif
}
template <Index count>
FASTRNN_INLINE void read_columns(const std::uint32_t* from, Index (&to)[count]) {
    FASTRNN_UNROLL
    for (int i = 0; i < count; ++i) to[i] = from[i];
}

// y[row] = W x for the rows of some slices. y: H + 1 elements; the last takes what belongs to no row.
template <class S, class Column>
EIGEN_DONT_INLINE void multiply_slices(const SparseWeights<S>& w, const Column* columns, Range slices, const S* x,
                                       S* y) {
    constexpr Index height = slice_rows<S>;
    for (Index s = slices.begin; s < slices.end; ++s) {
        S sum[height] = {};
        for (Index k = w.starts[s]; k < w.starts[s + 1]; ++k) {
            Index column[height];
            read_columns(columns + k * height, column);
            const S* const weight = w.weights + k * height;
            FASTRNN_UNROLL
            for (int i = 0; i < height; ++i) sum[i] = in_register(fma(weight[i], x[column[i]], sum[i]));
        }
        for (int i = 0; i < height; ++i) y[w.rows[s * height + i]] = sum[i];
    }
}

// The same with gather instructions.
template <class S, class Column>
EIGEN_DONT_INLINE void gather_slices([[maybe_unused]] const SparseWeights<S>& w, [[maybe_unused]] const Column* columns,
                                     [[maybe_unused]] Range slices, [[maybe_unused]] const S* x,
                                     [[maybe_unused]] S* y) {
    if constexpr (has_gather) {
        const Index end = w.groups() * lanes<S> - 1;
        for (Index s = slices.begin; s < slices.end; ++s) {
            Vec<S> sum = set(S(0));
            for (Index k = w.starts[s] * lanes<S>; k < w.starts[s + 1] * lanes<S>; k += lanes<S>) {
                prefetch(w.weights + std::min<Index>(k + 1024 / sizeof(S), end));
                prefetch(columns + std::min<Index>(k + 512 / sizeof(Column), end));
                sum = fma(load(w.weights + k), gather(x, columns + k), sum);
            }
            alignas(64) S sums[lanes<S>];
            store(sums, sum);
            for (int i = 0; i < lanes<S>; ++i) y[w.rows[s * lanes<S> + i]] = sums[i];
        }
    }
}

// The same for as many vectors x as there are lanes, x and y [H + 1][lanes].
template <class S, class Column>
EIGEN_DONT_INLINE void multiply_slices_by_lanes(const SparseWeights<S>& w, const Column* columns, Range slices,
                                                const S* x, S* y) {
    constexpr Index height = slice_rows<S>;
    for (Index s = slices.begin; s < slices.end; ++s) {
        Vec<S> sum[height];
        for (auto& one : sum) one = set(S(0));
        for (Index k = w.starts[s] * height; k < w.starts[s + 1] * height; k += height) {
            FASTRNN_UNROLL
            for (int i = 0; i < height; ++i)
                sum[i] = fma(set(w.weights[k + i]), load(x + Index(columns[k + i]) * lanes<S>), sum[i]);
        }
        for (int i = 0; i < height; ++i) store(y + Index(w.rows[s * height + i]) * lanes<S>, sum[i]);
    }
}

// `by_lanes`: x and y are those of multiply_slices_by_lanes.
template <class S>
void multiply_sparse(const SparseWeights<S>& w, bool by_lanes, Range slices, const S* x, S* y) {
    const auto multiply = [&](const auto* columns) {
        if (by_lanes) return multiply_slices_by_lanes(w, columns, slices, x, y);
        w.gathers ? gather_slices(w, columns, slices, x, y) : multiply_slices(w, columns, slices, x, y);
    };
    w.columns ? multiply(w.columns) : multiply(w.wide_columns);
}

// Are gathers faster here? Some CPUs do them as fast as they load, others in microcode, many times slower. Measured
// once, on the first matrix that is large enough.
template <class S>
bool prefers_gathers(SparseWeights<S> w) {
    const auto race = [&w] {
        using Clock = std::chrono::steady_clock;
        const Range some{0, std::lower_bound(w.starts, w.starts + w.slices, Index(1024)) - w.starts};
        const std::vector<S> x(std::size_t(w.H) + 1);
        std::vector<S> y(std::size_t(w.H) + 1);
        Clock::duration best[2] = {Clock::duration::max(), Clock::duration::max()};
        for (int turn = 0; turn < 20; ++turn) {
            w.gathers = turn % 2 == 1;
            const auto begun = Clock::now();
            multiply_sparse(w, false, some, x.data(), y.data());
            best[turn % 2] = std::min(best[turn % 2], Clock::now() - begun);
        }
        return best[1] < best[0];
    };
    if (!has_gather || w.groups() < 1024) return has_gather;
    static const bool faster = race();
    return faster;
}

}  // namespace fastrnn

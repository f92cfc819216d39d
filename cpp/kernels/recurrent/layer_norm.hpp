// Layer normalisation (Ba, Kiros, Hinton 2016): (v - mean) / sqrt(variance + 1e-5) over the numbers of one row. They
// lie in `groups` groups of `count` numbers, wherever `at(group, i)` says: a function that returns the vector that
// begins at number i of a group, with zeros after its last one. The sums have a fixed number of lanes and go from group
// to group, so that the bits depend neither on the instruction set nor on the layout.
#pragma once

#include <cmath>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

template <class S>
struct Moments {
    S mean, scale;  // scale: one over the deviation
};

// f(i, what is left from i on) for each vector of 0 .. count-1.
template <class S, class F>
FASTRNN_INLINE void for_each_vector(Index count, F&& f) {
    for (Index i = 0; i < count; i += lanes<S>) f(i, count - i);
}

// The first `count` lanes of a vector, zeros after them.
template <class S>
FASTRNN_INLINE Vec<S> keep_first(Vec<S> value, Index count) {
    if (count >= lanes<S>) return value;
    alignas(64) static constexpr S ones[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};  // then zeros
    return value * load(ones + 16 - count);
}

template <class S, class At>
FASTRNN_INLINE Moments<S> moments(Index groups, Index count, At&& at) {
    LaneSum<S> sum, squares;
    for (Index group = 0; group < groups; ++group) sum.add(count, [&](Index i) { return at(group, i); });
    const S numbers = S(groups * count), mean = sum.total() / numbers;
    const Vec<S> centre = set(mean);
    for (Index group = 0; group < groups; ++group)
        squares.add(count, [&](Index i) {
            const Vec<S> d = keep_first(at(group, i) - centre, count - i);
            return d * d;
        });
    return {mean, S(1) / std::sqrt(squares.total() / numbers + S(1e-5))};
}

// Through the normalisation: d -> scale (d - mean(d) - x mean(d x)), x what it returned; d(group, i) and x(group, i) as
// `at` above. `see(group, i, x)` is called once for each vector before, and the result goes to put(group, i, vector).
template <class S, class D, class X, class See, class Put>
FASTRNN_INLINE void normalise_backward(Index groups, Index count, S scale, D&& d, X&& x, See&& see, Put&& put) {
    LaneSum<S> sum, along;
    for (Index group = 0; group < groups; ++group)
        for_each_vector<S>(count, [&](Index i, Index) {
            const Vec<S> gradient = d(group, i), value = x(group, i);
            see(group, i, value);
            sum.put(i, gradient);
            along.put(i, gradient * value);
        });
    const S numbers = S(groups * count);
    const Vec<S> mean = set(sum.total() / numbers), slope = set(along.total() / numbers);
    for (Index group = 0; group < groups; ++group)
        for_each_vector<S>(
            count, [&](Index i, Index) { put(group, i, (d(group, i) - mean - slope * x(group, i)) * set(scale)); });
}

}  // namespace fastrnn

// What a pass over a sequence is given, checked: rows and their lengths, inputs, states, and the tape between two
// passes.
#pragma once

#include <numeric>

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {

// What forward leaves for backward. The arrays belong to Python; nothing here is ever written to again.
struct Tape {
    py::object x, y, state, lengths, reset, c, gates, segment;
    bool reverse;
};

// Some steps of a longer pass, from `first` on. The lengths are those of the whole pass, of `total` steps, and so is
// the order of the rows; a reset goes back to the state `restart` that the whole pass began with.
struct Segment {
    Index first = 0, total;
    bool whole = true;
    py::object restart;

    Segment(py::handle given, Index T) : total(T) {
        if (given.is_none()) return;
        if (!py::isinstance<py::tuple>(given) || py::len(given) != 3)
            throw py::type_error("segment: expected None or (first, total, restart)");
        whole = false;
        first = given[py::int_(0)].cast<Index>();
        total = given[py::int_(1)].cast<Index>();
        restart = given[py::int_(2)];
        if (first < 0 || total < T || first > total - T)
            throw py::value_error("segment: expected " + std::to_string(T) +
                                  " of total steps from first on, got first " + std::to_string(first) + " and total " +
                                  std::to_string(total));
    }
};

// The rows of a batch, longest first.
class Rows {
   public:
    Rows(Index T, Index N, py::handle lengths, const Segment& segment)
        : order_(std::size_t(N)), length_(std::size_t(N), T) {
        std::iota(order_.begin(), order_.end(), Index(0));
        if (lengths.is_none()) return;
        const auto given = expect<std::int64_t>(lengths, "lengths", {{"N", N}});
        for (Index n = 0; n < N; ++n)
            if (given.data()[n] < 1 || given.data()[n] > segment.total)
                throw py::value_error("lengths: expected values in 1 .. " + std::to_string(segment.total) + ", got " +
                                      std::to_string(given.data()[n]) + " at position " + std::to_string(n));
        std::stable_sort(order_.begin(), order_.end(),
                         [&](Index a, Index b) { return given.data()[a] > given.data()[b]; });
        for (Index i = 0; i < N; ++i) {
            const Index left = Index(given.data()[order_[std::size_t(i)]]) - segment.first;
            length_[std::size_t(i)] = std::clamp<Index>(left, 0, T);
        }
        if (N > 0 && length_.front() == 0)
            throw py::value_error("segment: expected one in which some row has a step, got first " +
                                  std::to_string(segment.first) + " behind the longest length");
    }

    Batch batch(Index T, bool reverse, const bool* reset) const {
        return {T, Index(order_.size()), reverse, order_.data(), length_.data(), reset};
    }

   private:
    std::vector<Index> order_, length_;
};

inline void expect_some(py::handle x) {
    const auto array = py::reinterpret_borrow<py::array>(x);
    if (array.shape(0) < 1 || array.shape(1) < 1)
        throw py::value_error("x: expected T >= 1 and N >= 1, got " + describe(array));
}

template <class S>
Input<S> expect_input(const Panels<S>& panels, py::handle x, Index& T, Index& N) {
    if (py::isinstance<py::array>(x) && py::reinterpret_borrow<py::array>(x).dtype().kind() != 'f') {
        const auto ids = expect<std::int64_t>(x, "x", {{"T", any}, {"N", any}});
        T = ids.shape(0), N = ids.shape(1);
        expect_some(x);
        check_ids(ids.data(), T * N, panels.D, "x");
        return {nullptr, ids.data(), panels.D};
    }
    const auto dense = expect<S>(x, "x", {{"T", any}, {"N", any}, {"D", panels.D}});
    T = dense.shape(0), N = dense.shape(1);
    expect_some(x);
    return {dense.data(), nullptr, panels.D};
}

// A state tuple ([N, H], or twice that), zeros where None.
template <class S>
std::vector<Array<S>> expect_state(const Panels<S>& panels, py::handle state, Index N, const char* h, const char* c) {
    std::vector<Array<S>> arrays;
    if (state.is_none()) {
        for (int i = 0; i < panels.states(); ++i) arrays.push_back(new_array<S>(i ? c : h, {N, panels.H}, true));
        return arrays;
    }
    if (!py::isinstance<py::tuple>(state) || int(py::len(state)) != panels.states())
        throw py::type_error("state: expected a tuple of " + std::to_string(panels.states()) + " arrays for " +
                             panels.cell());
    for (int i = 0; i < panels.states(); ++i)
        arrays.push_back(expect<S>(state[py::int_(i)], i ? c : h, {{"N", N}, {"H", panels.H}}));
    return arrays;
}

template <class S>
py::tuple as_tuple(const std::vector<Array<S>>& arrays) {
    py::tuple tuple(arrays.size());
    for (std::size_t i = 0; i < arrays.size(); ++i) tuple[i] = arrays[i];
    return tuple;
}

// Zeros behind each row's end.
template <class S>
void clear_padding(S* values, Index width, const Batch& batch) {
    for (Index row = 0; row < batch.N; ++row)
        for (Index t = batch.length[row]; t < batch.T; ++t) {
            S* at = values + (t * batch.N + batch.order[row]) * width;
            std::fill(at, at + width, S(0));
        }
}

}  // namespace fastrnn::bindings

// Checked arguments of a pass over a sequence: rows and their lengths, inputs, states, arrays of options.
#pragma once

#include <algorithm>
#include <numeric>

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {

// Some steps of a longer pass, from `first` on. Lengths and the order of rows are those of the whole pass of `total`
// steps; a reset restarts from the state that the whole pass began with.
struct Segment {
    Index first = 0, total;
    bool whole = true;

    Segment(py::handle given, Index T) : total(T) {
        if (given.is_none()) return;
        if (!py::isinstance<py::tuple>(given) || py::len(given) != 2)
            throw py::type_error("segment: expected None or a tuple (first, total), got " +
                                 std::string(py::repr(given)));
        whole = false;
        first = given[py::int_(0)].cast<Index>();
        total = given[py::int_(1)].cast<Index>();
        if (first < 0 || total < T || first > total - T)
            throw py::value_error("segment: expected first >= 0 and first + " + std::to_string(T) +
                                  " <= total, got first " + std::to_string(first) + " and total " +
                                  std::to_string(total));
    }
};

// The rows of a batch, longest first.
class SortedRows {
   public:
    SortedRows(Index T, Index N, py::handle lengths, const Segment& segment)
        : order_(std::size_t(N)), length_(std::size_t(N), T) {
        std::iota(order_.begin(), order_.end(), Index(0));
        if (lengths.is_none()) return;
        const auto given = expect<std::int64_t>(lengths, "lengths", {{"N", N}});
        for (Index n = 0; n < N; ++n)
            if (given.data()[n] < 0 || given.data()[n] > segment.total)
                throw py::value_error("lengths: expected values in 0 .. " + std::to_string(segment.total) + ", got " +
                                      std::to_string(given.data()[n]) + " at position " + std::to_string(n));
        std::sort(order_.begin(), order_.end(), [&](Index a, Index b) {
            const std::int64_t first = given.data()[a], second = given.data()[b];
            return first != second ? first > second : a < b;
        });
        for (Index i = 0; i < N; ++i) {
            const Index left = Index(given.data()[order_[std::size_t(i)]]) - segment.first;
            length_[std::size_t(i)] = std::clamp<Index>(left, 0, T);
        }
        if (N > 0 && segment.first > 0 && length_.front() == 0)
            throw py::value_error("segment: expected first below the longest length, got " +
                                  std::to_string(segment.first));
    }

    RaggedBatch batch(Index T, bool reverse, const bool* reset) const {
        return {T, Index(order_.size()), reverse, order_.data(), length_.data(), reset};
    }

   private:
    std::vector<Index> order_, length_;
};

template <class S>
Input<S> expect_input(Index D, py::handle x, Index& T, Index& N) {
    if (py::isinstance<py::array>(x) && py::reinterpret_borrow<py::array>(x).dtype().kind() != 'f') {
        const auto ids = expect<std::int64_t>(x, "x", {{"T", any}, {"N", any}});
        T = ids.shape(0), N = ids.shape(1);
        check_ids(ids.data(), T * N, D, "x");
        return {nullptr, ids.data(), D};
    }
    const auto dense = expect<S>(x, "x", {{"T", any}, {"N", any}, {"D", D}});
    T = dense.shape(0), N = dense.shape(1);
    return {dense.data(), nullptr, D};
}

// The state arrays of one layer and direction: h, c, past, as far as the cell has them.
template <class S>
class StateArrays {
   public:
    StateArrays() = default;

    // Creates new arrays.
    StateArrays(const CellSizes& sizes, Index N, bool zero) : sizes_(&sizes) {
        arrays_.push_back(new_array<S>("state", {N, sizes.P}, zero));
        if (sizes.carried) arrays_.push_back(new_array<S>("state", {N, sizes.carried}, zero));
        if (sizes.skip) arrays_.push_back(new_array<S>("state", {N, sizes.skip, sizes.P}, zero));
    }

    // Checks the given arrays; None stands for zeros.
    StateArrays(const Packed<S>& packed, py::handle state, Index N, const char* name) : sizes_(&packed.sizes()) {
        if (state.is_none()) {
            *this = StateArrays(packed.sizes(), N, true);
            return;
        }
        const std::size_t count = 1 + (sizes_->carried ? 1 : 0) + (sizes_->skip ? 1 : 0);
        if (!py::isinstance<py::tuple>(state) || py::len(state) != count)
            throw py::type_error(std::string(name) + ": expected a tuple of " + std::to_string(count) + " arrays for " +
                                 packed.cell());
        const auto take = [&](Shape shape) {
            const std::size_t i = arrays_.size();
            const std::string one = i ? std::string(name) + "[" + std::to_string(i) + "]" : name;
            arrays_.push_back(expect<S>(state[py::int_(i)], one.c_str(), shape));
        };
        take({{"N", N}, {"H", sizes_->P}});
        if (sizes_->carried) take({{"N", N}, {"H", sizes_->carried}});
        if (sizes_->skip) take({{"N", N}, {"skip", sizes_->skip}, {"H", sizes_->P}});
    }

    bool empty() const { return arrays_.empty(); }
    Array<S>& c() { return arrays_[1]; }

    State<const S> data() const {
        State<const S> state;
        if (arrays_.empty()) return state;
        state.h = arrays_[0].data();
        if (sizes_->carried) state.c = arrays_[1].data();
        if (sizes_->skip) state.past = arrays_.back().data();
        return state;
    }

    State<S> mutable_data(const char* name = "state") {
        State<S> state;
        if (arrays_.empty()) return state;
        for (const Array<S>& array : arrays_)
            if (!array.writeable())
                throw py::value_error(std::string(name) + ": expected writable arrays, got a read-only one");
        state.h = arrays_[0].mutable_data();
        if (sizes_->carried) state.c = arrays_[1].mutable_data();
        if (sizes_->skip) state.past = arrays_.back().mutable_data();
        return state;
    }

    py::tuple tuple() const {
        py::tuple tuple(arrays_.size());
        for (std::size_t i = 0; i < arrays_.size(); ++i) tuple[i] = arrays_[i];
        return tuple;
    }

   private:
    const CellSizes* sizes_ = nullptr;
    std::vector<Array<S>> arrays_;
};

// Checks the arrays of options in one pass, by name. `held` keeps them alive.
template <class S>
OptionArrays<S> expect_options(const CellSizes& sizes, py::handle given, Index T, Index N, Held& held) {
    OptionArrays<S> options;
    const bool none = given.is_none();
    if (!none && !py::isinstance<py::dict>(given))
        throw py::type_error("options: expected None or a dict of arrays, got " + type_name(given));
    const auto of = [&](const char* name, Shape shape) -> const S* {
        if (none) return nullptr;
        const auto arrays = py::reinterpret_borrow<py::dict>(given);
        if (!arrays.contains(name)) return nullptr;
        held.push_back(expect<S>(arrays[name], name, shape));
        return py::reinterpret_borrow<Array<S>>(held.back()).data();
    };
    options.input_mask = of("input_mask", {{"N", N}, {"D", sizes.D}});
    options.state_mask = of("state_mask", {{"N", N}, {"P", sizes.P}});
    options.output_mask = of("output_mask", {{"N", N}, {"P", sizes.P}});
    options.candidate_mask = of("candidate_mask", {{"T", T}, {"N", N}, {"H", sizes.H}});
    options.zone_h = of("zone_h", {{"T", T}, {"N", N}, {"P", sizes.P}});
    options.zone_c = of("zone_c", {{"T", T}, {"N", N}, {"H", sizes.H}});
    if (!none && given.contains("context")) {
        const py::object context = given["context"];
        options.each_context = py::isinstance<py::array>(context) && py::array(context).ndim() == 3;
    }
    options.context = options.each_context ? of("context", {{"T", T}, {"N", N}, {"C", sizes.context}})
                                           : of("context", {{"N", N}, {"C", sizes.context}});
    options.targets = of("targets", {{"T", T}, {"N", N}, {"P", sizes.P}});
    if (sizes.context && !options.context) throw py::type_error("context: expected an array, got None");
    return options;
}

// Sets everything after each row's end to zero.
template <class S>
void clear_padding(S* values, Index width, const RaggedBatch& batch) {
    if (!values) return;
    for (Index row = 0; row < batch.N; ++row)
        for (Index t = batch.length[row]; t < batch.T; ++t) {
            S* at = values + (t * batch.N + batch.order[row]) * width;
            std::fill(at, at + width, S(0));
        }
}

}  // namespace fastrnn::bindings

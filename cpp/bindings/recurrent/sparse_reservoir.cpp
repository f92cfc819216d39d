// A reservoir with sparse recurrent weights: checks, packed weights, then the steps.
#include "kernels/recurrent/sparse_reservoir.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/shared.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

using Ids = Array<std::int64_t>;

ReservoirUnit unit_of(const std::string& name) {
    constexpr const char* names[] = {"tanh", "relu", "identity", "sigmoid"};
    for (int i = 0; i < 4; ++i)
        if (name == names[i]) return ReservoirUnit(i);
    throw py::value_error("nonlinearity: expected tanh, relu, identity or sigmoid, got '" + name + "'");
}

// Where each row begins: from 0 to `count`, never less than before.
Ids expect_ends(py::object value, Index H, Index count) {
    auto ends =
        expect<std::int64_t>(private_copy<std::int64_t>(std::move(value), "indptr"), "indptr", {{"H + 1", H + 1}});
    for (Index i = 0; i <= H; ++i) {
        const std::int64_t got = ends.data()[i], least = i == 0 ? 0 : ends.data()[i - 1];
        if (got < least || got > count || (i == 0 && got != 0) || (i == H && got != count))
            throw py::value_error("indptr: expected numbers that rise from 0 to the " + std::to_string(count) +
                                  " of data, got " + std::to_string(got) + " at position " + std::to_string(i));
    }
    return ends;
}

Ids expect_columns(py::object value, Index H, Index count) {
    auto ids = expect<std::int64_t>(private_copy<std::int64_t>(std::move(value), "indices"), "indices", {{"K", count}});
    for (Index i = 0; i < count; ++i)
        if (ids.data()[i] < 0 || ids.data()[i] >= H)
            throw py::value_error("indices: expected columns in 0 .. " + std::to_string(H - 1) + ", got " +
                                  std::to_string(ids.data()[i]) + " at position " + std::to_string(i));
    return ids;
}

// W in compressed rows, checked.
struct CompressedRows {
    CompressedRows(py::object given_indices, py::object given_indptr, Index H_, Index count)
        : H(H_),
          ends(expect_ends(std::move(given_indptr), H, count)),
          columns(expect_columns(std::move(given_indices), H, count)) {
        if (H > std::numeric_limits<std::int32_t>::max())
            throw py::value_error("leak: expected less than 2^31 units, got " + std::to_string(H));
    }

    Index H;
    Ids ends, columns;
};

// An immutable packed snapshot.
class PackedReservoir : public std::enable_shared_from_this<PackedReservoir> {
   public:
    virtual ~PackedReservoir() = default;
    virtual void run(py::handle states, py::handle state) const = 0;

   protected:
    // `height`: rows of a slice.
    PackedReservoir(const CompressedRows& w, Index height)
        : slices_((w.H + height - 1) / height),
          rows_(take<std::uint32_t>(slices_ * height)),
          starts_(take<Index>(slices_ + 1)) {
        size_ = height * order_rows(w.ends.data(), w.H, height, rows_, starts_);
        elements_.resize(std::size_t(size_));
        list_elements(rows_, starts_, w.ends.data(), w.H, height, elements_.data());
        const auto column = [&](Index i) {
            const std::int64_t from = elements_[std::size_t(i)];
            return from < 0 ? w.H : Index(w.columns.data()[from]);
        };
        if (w.H <= std::numeric_limits<std::uint16_t>::max()) {
            narrow_ = take<std::uint16_t>(size_);
            for (Index i = 0; i < size_; ++i) narrow_[i] = std::uint16_t(column(i));
        } else {
            wide_ = take<std::uint32_t>(size_);
            for (Index i = 0; i < size_; ++i) wide_[i] = std::uint32_t(column(i));
        }
    }

    template <class T>
    T* take(Index count) {
        blocks_.push_back(allocate_aligned<char>(count * Index(sizeof(T)), "packed weights", "use fewer connections"));
        return reinterpret_cast<T*>(blocks_.back().get());
    }

   private:
    std::vector<std::unique_ptr<char[], AlignedDelete>> blocks_;

   protected:
    const Index slices_;
    std::uint32_t *const rows_, *wide_ = nullptr;
    std::uint16_t* narrow_ = nullptr;
    Index* const starts_;
    Index size_ = 0;                      // of the weights
    std::vector<std::int64_t> elements_;  // where they come from, while they are packed
};

template <class S>
class PackedReservoirOf : public PackedReservoir {
   public:
    PackedReservoirOf(const S* data, const CompressedRows& from, const S* leak, ReservoirUnit unit,
                      const py::object& gathers)
        : PackedReservoir(from, slice_rows<S>) {
        const Index H = from.H, padded = round_up_to_lanes<S>(H);
        S *const weights = take<S>(size_), *const leaks = take<S>(2 * padded);
        for (Index i = 0; i < size_; ++i) {
            const std::int64_t element = elements_[std::size_t(i)];
            weights[i] = element < 0 ? S(-0.0) : data[element];
        }
        elements_ = {};
        for (Index i = 0; i < padded; ++i) {
            leaks[i] = i < H ? leak[i] : S(0);
            leaks[padded + i] = i < H ? S(1) - leak[i] : S(0);
        }
        SparseWeights<S>& w = reservoir_.weights;
        w = {H, slices_, rows_, starts_, weights, narrow_, wide_};
        w.gathers = gathers.is_none() ? prefers_gathers(w) : has_gather && gathers.cast<bool>();
        reservoir_.leak = leaks;
        reservoir_.kept = leaks + padded;
        reservoir_.unit = unit;
    }

    void run(py::handle states, py::handle state) const override {
        SignalInterrupt interrupt;
        const Index H = reservoir_.weights.H;
        ReservoirProblem<S> p;
        p.states = expect_writable<S>(states, "states", {{"T", any}, {"N", any}, {"H", H}});
        const auto all = py::reinterpret_borrow<py::array>(states);
        p.T = all.shape(0), p.N = all.shape(1);
        p.state = expect_writable<S>(state, "state", {{"N", p.N}, {"H", H}});
        p.interrupt = &interrupt;
        {
            const ReleasedGil release;
            run_reservoir(reservoir_, p, available_threads(), fresh_workspace());
        }
        interrupt.finish();
    }

   private:
    SparseReservoir<S> reservoir_;
};

template <class S>
py::object pack_reservoir(py::object data, py::object indices, py::object indptr, py::object leak, ReservoirUnit unit,
                          const py::object& gathers) {
    const auto values = expect<S>(data, "data", {{"K", any}});
    const auto leaks = expect<S>(leak, "leak", {{"H", any}});
    const CompressedRows from(std::move(indices), std::move(indptr), leaks.shape(0), values.shape(0));
    return share<PackedReservoir>(
        std::make_shared<PackedReservoirOf<S>>(values.data(), from, leaks.data(), unit, gathers));
}

}  // namespace

void register_sparse_reservoir(py::module_& m) {
    shared_class<PackedReservoir>(m, "PackedReservoir");
    m.def(
        "sparse_reservoir_pack",
        [](py::object data, py::object indices, py::object indptr, py::object leak, const std::string& nonlinearity,
           const py::object& gathers) {
            const ReservoirUnit unit = unit_of(nonlinearity);
            return (is_double(data) ? pack_reservoir<double> : pack_reservoir<float>)(data, indices, indptr, leak, unit,
                                                                                      gathers);
        },
        py::arg("data"), py::arg("indices"), py::arg("indptr"), py::arg("leak"), py::arg("nonlinearity"),
        py::arg("gathers") = py::none(),
        "Return packed recurrent weights: compressed rows [H, H], and a leak rate for each unit.");
    m.def(
        "sparse_reservoir_run",
        [](const PackedReservoir& packed, py::object states, py::object state) { packed.run(states, state); },
        py::arg("packed"), py::arg("states"), py::arg("state"),
        "Run steps in place: states [T, N, H] from inputs to h, state [N, H] from h_0 to h_T.");
}

}  // namespace fastrnn::bindings

// forward and backward of any cell: check, allocate, release the GIL, call.
#include "recurrent.hpp"

#include <cstring>
#include <numeric>

#include "register.hpp"

namespace fastrnn::bindings {
namespace {

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

void expect_some(py::handle x) {
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

template <class S>
py::tuple forward(const Panels<S>& panels, py::object x, py::object state, py::object lengths, py::object reset,
                  bool reverse, bool training, py::object segment) {
    Index T, N;
    const Index H = panels.H;
    const Input<S> input = expect_input(panels, x, T, N);
    const auto initial = expect_state(panels, state, N, "state", "state[1]");
    const Segment part(segment, T);
    const auto restart = part.whole ? initial : expect_state(panels, part.restart, N, "restart", "restart[1]");
    const Rows rows(T, N, lengths, part);
    const Batch batch = rows.batch(T, reverse, optional_data<bool>(reset, "reset", {{"T", T}, {"N", N}}));
    const bool has_c = panels.states() == 2, has_gates = training && panels.tape_width() > 0;
    auto y = new_array<S>("y", {T, N, H});
    std::vector<Array<S>> last;
    for (int i = 0; i < panels.states(); ++i) last.push_back(new_array<S>("state", {N, H}));
    const auto c = !has_c ? Array<S>() : training ? new_array<S>("c", {T, N, H}) : last[1];
    const auto gates = has_gates ? new_array<S>("gates", {T, N, panels.tape_width() / H, H}) : Array<S>();
    SignalInterrupt interrupt;
    const Split split = split_of(panels, batch, 1);
    const ForwardProblem<S> p{batch,
                              input,
                              H,
                              panels.gx_width(),
                              panels.tape_width(),
                              initial[0].data(),
                              has_c ? initial[1].data() : nullptr,
                              restart[0].data(),
                              has_c ? restart[1].data() : nullptr,
                              y.mutable_data(),
                              has_c ? const_cast<S*>(c.data()) : nullptr,
                              has_gates ? const_cast<S*>(gates.data()) : nullptr,
                              training,
                              &interrupt,
                              split.by_units};
    S* const h_n = last[0].mutable_data();
    S* const c_n = has_c ? last[1].mutable_data() : nullptr;
    {
        const py::gil_scoped_release release;
        const ForwardScratch<S> scratch(p, split.threads, fresh_workspace());
        run_team(split.threads, [&](const Worker& worker) { panels.forward(p, scratch, worker); });
        for (Index row = 0; row < N; ++row) {
            const Index n = batch.order[row];
            const bool ran = batch.length[row] > 0;
            const Index end = ran ? batch.at(batch.length[row] - 1, row) : n;
            const S* const h = (ran ? p.y : p.h0) + end * H;
            std::copy(h, h + H, h_n + n * H);
            if (!has_c || (ran && !training)) continue;
            const S* const c = (ran ? p.c : p.c0) + end * H;
            std::copy(c, c + H, c_n + n * H);
        }
        if (!lengths.is_none()) {
            clear_padding(p.y, H, batch);
            if (has_c && training) clear_padding(p.c, H, batch);
            if (has_gates) clear_padding(p.gates, p.tape_width, batch);
        }
    }
    interrupt.finish();
    py::object tape = py::none();
    if (training)
        tape = py::cast(Tape{x, y, as_tuple(initial), lengths, reset, has_c ? py::object(c) : py::none(),
                             has_gates ? py::object(gates) : py::none(), segment, reverse});
    return py::make_tuple(y, as_tuple(last), tape);
}

template <class S>
py::tuple backward(Panels<S>& panels, const Tape& tape, py::object dy, py::object dstate_n, py::tuple gradients,
                   bool need_dx, py::object drestart) {
    Index T, N;
    const Index D = panels.D, H = panels.H, rows_of_weights = panels.gates() * H;
    const Input<S> input = expect_input(panels, tape.x, T, N);
    const auto initial = expect_state(panels, tape.state, N, "state", "state[1]");
    const bool has_c = panels.states() == 2, has_gates = panels.tape_width() > 0;
    const Segment part(tape.segment, T);
    const auto restart = part.whole ? initial : expect_state(panels, part.restart, N, "restart", "restart[1]");
    const Rows rows(T, N, tape.lengths, part);
    const Batch batch = rows.batch(T, tape.reverse, optional_data<bool>(tape.reset, "reset", {{"T", T}, {"N", N}}));
    const auto dlast = expect_state(panels, dstate_n, N, "dstate", "dstate[1]");
    if (drestart.is_none() && part.first > 0 && batch.reset)
        throw py::value_error("drestart: expected arrays to add to, got None for a segment with resets");
    std::vector<Array<S>> dreset;
    if (!drestart.is_none()) dreset = expect_state(panels, drestart, N, "drestart", "drestart[1]");
    for (Array<S>& array : dreset) expect_writable<S>(array, "drestart", {{"N", N}, {"H", H}});
    const auto dy_array =
        dy.is_none() ? new_array<S>("dy", {T, N, H}, true) : expect<S>(dy, "dy", {{"T", T}, {"N", N}, {"H", H}});
    if (gradients.size() != 4)
        throw py::type_error("gradients: expected (dweight_ih, dweight_hh, dbias_ih or None, dbias_hh or None)");
    const bool has_dx = need_dx && input.x;
    auto dx = has_dx ? new_array<S>("dx", {T, N, D}) : Array<S>();
    std::vector<Array<S>> dfirst;
    for (int i = 0; i < panels.states(); ++i) dfirst.push_back(new_array<S>("dstate", {N, H}));
    SignalInterrupt interrupt;
    const Split split = split_of(panels, batch, 2);
    const BackwardProblem<S> p{
        batch,
        input,
        H,
        panels.tape_width(),
        panels.dgates_width(),
        initial[0].data(),
        has_c ? initial[1].data() : nullptr,
        restart[0].data(),
        has_c ? restart[1].data() : nullptr,
        expect<S>(tape.y, "tape.y", {{"T", T}, {"N", N}, {"H", H}}).data(),
        has_c ? expect<S>(tape.c, "tape.c", {{"T", T}, {"N", N}, {"H", H}}).data() : nullptr,
        has_gates
            ? expect<S>(tape.gates, "tape.gates", {{"T", T}, {"N", N}, {"Q", panels.tape_width() / H}, {"H", H}}).data()
            : nullptr,
        dy_array.data(),
        dlast[0].data(),
        has_c ? dlast[1].data() : nullptr,
        has_dx ? dx.mutable_data() : nullptr,
        dfirst[0].mutable_data(),
        has_c ? dfirst[1].mutable_data() : nullptr,
        dreset.empty() ? nullptr : dreset[0].mutable_data(),
        dreset.size() < 2 ? nullptr : dreset[1].mutable_data(),
        part.first > 0,
        expect_writable<S>(gradients[0], "dweight_ih", {{"G*H", rows_of_weights}, {"D", D}}),
        expect_writable<S>(gradients[1], "dweight_hh", {{"G*H", rows_of_weights}, {"H", H}}),
        optional_writable<S>(gradients[2], "dbias_ih", {{"G*H", rows_of_weights}}),
        optional_writable<S>(gradients[3], "dbias_hh", {{"G*H", rows_of_weights}}),
        &interrupt,
        split.by_units};
    if ((p.dbias_ih == nullptr) != (p.dbias_hh == nullptr))
        throw py::value_error("gradients: expected dbias_ih and dbias_hh both, or neither");
    {
        const py::gil_scoped_release release;
        panels.prepare_backward();
        const BackwardScratch<S> scratch(p, panels.needs_rh(), split.threads, fresh_workspace());
        run_team(split.threads, [&](const Worker& worker) { panels.backward(p, scratch, worker); });
        if (has_dx && !tape.lengths.is_none()) clear_padding(p.dx, D, batch);
    }
    interrupt.finish();
    return py::make_tuple(has_dx ? py::object(dx) : py::none(), as_tuple(dfirst));
}

// The function, for the panels of one cell only.
template <class P, class... Arguments>
auto of_cell(const char* cell, py::tuple (*function)(P&, Arguments...)) {
    return [cell, function](P& panels, Arguments... arguments) {
        if (std::strcmp(panels.cell(), cell) != 0)
            throw py::type_error(std::string("panels: expected those of ") + cell + "_pack, got those of " +
                                 panels.cell() + "_pack");
        return function(panels, std::move(arguments)...);
    };
}

template <class S>
void register_dtype(py::module_& m, const char* name) {
    py::class_<Panels<S>, std::shared_ptr<Panels<S>>>(m, name, py::module_local())
        .def_readonly("input_size", &Panels<S>::D)
        .def_readonly("hidden_size", &Panels<S>::H)
        .def_property_readonly("cell", &Panels<S>::cell)
        .def_property_readonly("dtype", [](const Panels<S>&) { return dtype_name<S>(); })
        .def_property_readonly("nbytes", &Panels<S>::bytes);
    for (const char* cell : {"elman", "gru", "lstm"}) {
        m.def((std::string(cell) + "_forward").c_str(), of_cell(cell, &forward<S>), py::arg("panels"), py::arg("x"),
              py::arg("state") = py::none(), py::arg("lengths") = py::none(), py::arg("reset") = py::none(),
              py::arg("reverse") = false, py::arg("training") = false, py::arg("segment") = py::none(),
              "Runs one layer and direction over a sequence: (y [T, N, H], last state, tape or None).");
        m.def((std::string(cell) + "_backward").c_str(), of_cell(cell, &backward<S>), py::arg("panels"),
              py::arg("tape"), py::arg("dy"), py::arg("dstate_n"), py::arg("gradients"), py::arg("need_dx"),
              py::arg("drestart") = py::none(),
              "Backpropagation through time: adds into gradients, gives (dx or None, gradient of the first state).");
    }
}

}  // namespace

void register_recurrent(py::module_& m) {
    py::class_<Tape>(m, "Tape", py::module_local(), "What one layer and direction keeps for BPTT.")
        .def_readonly("x", &Tape::x)
        .def_readonly("y", &Tape::y)
        .def_readonly("state", &Tape::state)
        .def_readonly("lengths", &Tape::lengths)
        .def_readonly("reset", &Tape::reset)
        .def_readonly("reverse", &Tape::reverse)
        .def_readonly("c", &Tape::c)
        .def_readonly("gates", &Tape::gates)
        .def_readonly("segment", &Tape::segment);
    register_dtype<float>(m, "Panels32");
    register_dtype<double>(m, "Panels64");
}

}  // namespace fastrnn::bindings

// Forward and backward of any cell: one layer and direction, both directions of a layer, or a stack of layers.
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "bindings/python/register.hpp"
#include "bindings/recurrent/passes.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
using PanelsList = std::vector<std::shared_ptr<Panels<S>>>;

template <class Pass>
using Passes = std::vector<std::unique_ptr<Pass>>;

template <class Pass>
Split split_of(const Pass& pass, int threads) {
    return split_of(pass.panels(), pass.batch(), Pass::forward_passes, threads);
}

// Multiply-adds of all passes together.
template <class Pass>
double work_of(const Passes<Pass>& passes) {
    double work = 0;
    for (const auto& pass : passes) work += Pass::forward_passes * forward_work(pass->panels(), pass->batch());
    return work;
}

// One pass after the other, each with all threads.
template <class Pass>
void run_in_turn(const Passes<Pass>& passes) {
    for (const auto& pass : passes) {
        const Split split = split_of(*pass, get_num_threads());
        pass->prepare(split, {}, fresh_workspace());
        run_team(split.threads, [&](const Worker& worker) { pass->run(worker); });
        pass->finish();
    }
}

// All passes at the same time, each with its share of the threads. In a wave each follows the one before it.
template <class Pass>
void run_at_once(const Passes<Pass>& passes, int threads, bool wave) {
    const std::size_t count = passes.size();
    const int crews = std::min(threads, int(count)), crew_size = wave ? 1 : threads / crews;
    Workspace& workspace = fresh_workspace();
    std::vector<Progress> progress(count);
    std::vector<Split> splits;
    std::deque<SpinBarrier> barriers;
    for (std::size_t i = 0; i < count; ++i) {
        splits.push_back(split_of(*passes[i], crew_size));
        barriers.emplace_back(splits[i].threads);
        const Wave own{i > 0 ? &progress[i - 1] : nullptr, i + 1 < count ? &progress[i] : nullptr};
        passes[i]->prepare(splits[i], wave ? own : Wave{}, workspace);
    }
    run_team(crews * crew_size, [&](const Worker& worker) {
        const std::size_t stride = worker.size > 1 ? std::size_t(crews) : 1;
        const int rank = worker.rank % crew_size;
        for (std::size_t i = std::size_t(worker.rank / crew_size); i < count; i += stride)
            if (worker.size == 1)
                passes[i]->run(worker);
            else if (rank < splits[i].threads)
                passes[i]->run({rank, splits[i].threads, &barriers[i], worker.calls});
    });
    for (const auto& pass : passes) pass->finish();
}

// Is it better to let the layers follow one another than to share each of them?
template <class Pass>
bool worth_a_wave(const Passes<Pass>& passes, int threads) {
    const int crews = std::min(threads, int(passes.size()));
    return std::all_of(passes.begin(), passes.end(), [&](const auto& pass) {
        const double rows_work = double(pass->batch().N) * step_work(pass->panels());
        return wave_beats(split_of(*pass, threads), rows_work, crews);
    });
}

template <class Pass>
void run_directions(const Passes<Pass>& passes) {
    const py::gil_scoped_release release;
    const int threads = useful_threads(get_num_threads(), work_of(passes));
    if (threads < 2) return run_in_turn(passes);
    run_at_once(passes, threads, false);
}

template <class Pass>
void run_layers(const Passes<Pass>& passes) {
    const py::gil_scoped_release release;
    const int threads = useful_threads(get_num_threads(), work_of(passes), wave_work_per_thread);
    if (passes.size() == 1 || threads == 1 || !worth_a_wave(passes, threads)) return run_in_turn(passes);
    run_at_once(passes, threads, true);
}

template <class Pass>
py::list results(const Passes<Pass>& passes) {
    py::list list;
    for (const auto& pass : passes) list.append(pass->result());
    return list;
}

// One of a list with an entry for each of `count` passes; None stands for so many of them.
py::object entry(const py::object& list, std::size_t i, std::size_t count, const char* name) {
    if (list.is_none()) return list;
    if (!py::isinstance<py::list>(list) || py::len(list) != count)
        throw py::type_error(std::string(name) + ": expected None or a list of " + std::to_string(count));
    return list[py::int_(i)];
}

void expect_count(std::size_t got, std::size_t count, const char* name) {
    if (got != count || count == 0)
        throw py::value_error(std::string(name) + ": expected " + (count ? std::to_string(count) : "at least one") +
                              ", got " + std::to_string(got));
}

template <class S>
py::tuple forward(const Panels<S>& panels, py::object x, py::object state, py::object lengths, py::object reset,
                  bool reverse, bool training, py::object segment) {
    SignalInterrupt interrupt;
    Passes<ForwardPass<S>> passes;
    passes.push_back(std::make_unique<ForwardPass<S>>(
        panels, typename ForwardPass<S>::Given{x, state, lengths, reset, reverse, training, segment}, interrupt));
    run_layers(passes);
    interrupt.finish();
    return passes[0]->result();
}

// Layers, each of which reads the one before it.
template <class S>
py::list forward_layers(const PanelsList<S>& panels, py::object x, py::object states, py::object lengths,
                        py::object reset, bool training) {
    expect_count(panels.size(), panels.size(), "panels");
    SignalInterrupt interrupt;
    Passes<ForwardPass<S>> passes;
    for (std::size_t i = 0; i < panels.size(); ++i)
        passes.push_back(std::make_unique<ForwardPass<S>>(
            *panels[i],
            typename ForwardPass<S>::Given{i ? passes[i - 1]->y() : x, entry(states, i, panels.size(), "states"),
                                           lengths, reset, false, training},
            interrupt));
    run_layers(passes);
    interrupt.finish();
    return results(passes);
}

// Both directions of a layer, the second reversed.
template <class S>
py::list forward_directions(const PanelsList<S>& panels, py::object x, py::object states, py::object lengths,
                            py::object reset, bool training) {
    expect_count(panels.size(), 2, "panels");
    SignalInterrupt interrupt;
    Passes<ForwardPass<S>> passes;
    for (std::size_t i = 0; i < 2; ++i)
        passes.push_back(std::make_unique<ForwardPass<S>>(
            *panels[i],
            typename ForwardPass<S>::Given{x, entry(states, i, 2, "states"), lengths, reset, i > 0, training},
            interrupt));
    run_directions(passes);
    interrupt.finish();
    return results(passes);
}

template <class S>
py::tuple backward(Panels<S>& panels, const Tape& tape, py::object dy, py::object dstate_n, py::tuple gradients,
                   bool need_dx, py::object drestart) {
    SignalInterrupt interrupt;
    Passes<BackwardPass<S>> passes;
    passes.push_back(std::make_unique<BackwardPass<S>>(
        panels, tape, typename BackwardPass<S>::Given{dy, dstate_n, gradients, need_dx, drestart}, interrupt));
    run_layers(passes);
    interrupt.finish();
    return passes[0]->result();
}

// Results in the order of the layers, though the last one goes first.
template <class S>
py::list backward_layers(const PanelsList<S>& panels, const std::vector<const Tape*>& tapes, py::object dy,
                         py::object dstates, const std::vector<py::tuple>& gradients, bool need_dx) {
    const std::size_t count = panels.size();
    expect_count(count, count, "panels");
    expect_count(tapes.size(), count, "tapes");
    expect_count(gradients.size(), count, "gradients");
    SignalInterrupt interrupt;
    Passes<BackwardPass<S>> passes;
    for (std::size_t i = count; i-- > 0;)
        passes.push_back(std::make_unique<BackwardPass<S>>(
            *panels[i], *tapes[i],
            typename BackwardPass<S>::Given{passes.empty() ? dy : passes.back()->dx(),
                                            entry(dstates, i, count, "dstates"), gradients[i], i > 0 || need_dx},
            interrupt));
    run_layers(passes);
    interrupt.finish();
    py::list list = results(passes);
    list.attr("reverse")();
    return list;
}

template <class S>
py::list backward_directions(const PanelsList<S>& panels, const std::vector<const Tape*>& tapes, py::object dy,
                             py::object dstates, const std::vector<py::tuple>& gradients, bool need_dx) {
    expect_count(panels.size(), 2, "panels");
    expect_count(tapes.size(), 2, "tapes");
    expect_count(gradients.size(), 2, "gradients");
    SignalInterrupt interrupt;
    Passes<BackwardPass<S>> passes;
    for (int i = 0; i < 2; ++i)
        passes.push_back(std::make_unique<BackwardPass<S>>(
            *panels[std::size_t(i)], *tapes[std::size_t(i)],
            typename BackwardPass<S>::Given{dy, entry(dstates, std::size_t(i), 2, "dstates"), gradients[std::size_t(i)],
                                            need_dx, py::none(), i, 2},
            interrupt));
    run_directions(passes);
    interrupt.finish();
    return results(passes);
}

template <class S>
void expect_cell(const Panels<S>& panels, const char* cell) {
    if (std::strcmp(panels.cell(), cell) != 0)
        throw py::type_error(std::string("panels: expected those of ") + cell + "_pack, got those of " + panels.cell() +
                             "_pack");
}
template <class S>
void expect_cell(const PanelsList<S>& list, const char* cell) {
    for (const auto& panels : list) expect_cell(*panels, cell);
}

// The function, for the panels of one cell only.
template <class Result, class P, class... Arguments>
auto of_cell(const char* cell, Result (*function)(P&, Arguments...)) {
    return [cell, function](P& panels, Arguments... arguments) {
        expect_cell(panels, cell);
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
        const auto name_of = [&](const char* what) { return std::string(cell) + what; };
        m.def(name_of("_forward").c_str(), of_cell(cell, &forward<S>), py::arg("panels"), py::arg("x"),
              py::arg("state") = py::none(), py::arg("lengths") = py::none(), py::arg("reset") = py::none(),
              py::arg("reverse") = false, py::arg("training") = false, py::arg("segment") = py::none(),
              "Runs one layer and direction over a sequence: (y [T, N, H], last state, tape or None).");
        m.def(name_of("_backward").c_str(), of_cell(cell, &backward<S>), py::arg("panels"), py::arg("tape"),
              py::arg("dy"), py::arg("dstate_n"), py::arg("gradients"), py::arg("need_dx"),
              py::arg("drestart") = py::none(),
              "Backpropagation through time: adds into gradients, gives (dx or None, gradient of the first state).");
        m.def(name_of("_forward_layers").c_str(), of_cell(cell, &forward_layers<S>), py::arg("panels"), py::arg("x"),
              py::arg("states"), py::arg("lengths"), py::arg("reset"), py::arg("training"),
              "Runs layers that read one another: a list of what forward gives.");
        m.def(name_of("_forward_directions").c_str(), of_cell(cell, &forward_directions<S>), py::arg("panels"),
              py::arg("x"), py::arg("states"), py::arg("lengths"), py::arg("reset"), py::arg("training"),
              "Runs a layer's two directions, the second reversed: a list of what forward gives.");
        m.def(name_of("_backward_layers").c_str(), of_cell(cell, &backward_layers<S>), py::arg("panels"),
              py::arg("tapes"), py::arg("dy"), py::arg("dstates"), py::arg("gradients"), py::arg("need_dx"),
              "The way back through forward_layers, the last layer first: a list of what backward gives.");
        m.def(name_of("_backward_directions").c_str(), of_cell(cell, &backward_directions<S>), py::arg("panels"),
              py::arg("tapes"), py::arg("dy"), py::arg("dstates"), py::arg("gradients"), py::arg("need_dx"),
              "The way back through forward_directions; dy [T, N, 2 H]. dx is each direction's own part.");
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

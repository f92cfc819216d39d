// Forward and backward passes of one layer and direction, of both directions of a layer, or of consecutive layers. The
// packed weights determine the cell.
#include <cstring>

#include "bindings/recurrent/backward_pass.hpp"
#include "bindings/recurrent/forward_pass.hpp"
#include "bindings/recurrent/schedule.hpp"

namespace fastrnn::bindings {
namespace {

// Returns entry i of a list with one entry per pass; None stands for a list of None.
py::object entry(const py::object& list, std::size_t i, std::size_t count, const char* name) {
    if (list.is_none()) return list;
    if (!py::isinstance<py::list>(list) || py::len(list) != count)
        throw py::type_error(std::string(name) + ": expected None or a list of " + std::to_string(count));
    return list[py::int_(i)];
}

// Checks the packed weights: one per pass, all of one scalar type.
template <class S>
std::vector<std::shared_ptr<Packed<S>>> expect_packed(const py::list& list, int directions) {
    if (directions != 1 && directions != 2)
        throw py::value_error("directions: expected 1 or 2, got " + std::to_string(directions));
    if (list.empty() || (directions == 2 && list.size() != 2))
        throw py::value_error("packed: expected " + std::string(directions == 2 ? "2" : "at least one") + ", got " +
                              std::to_string(list.size()));
    std::vector<std::shared_ptr<Packed<S>>> packed;
    for (const auto& item : list) {
        if (!py::isinstance<Packed<S>>(item))
            throw py::type_error(std::string("packed: expected weights of ") + dtype_name<S>() +
                                 " that a pack function returned, got " + type_name(item));
        packed.push_back(item.template cast<std::shared_ptr<Packed<S>>>());
    }
    return packed;
}

template <class S>
py::list recurrent_forward(const py::list& packed_list, py::object x, py::object states, py::object lengths,
                           py::object reset, bool training, bool reverse, int directions, py::object options,
                           py::object segment, py::object restarts) {
    const auto packed = expect_packed<S>(packed_list, directions);
    const std::size_t count = packed.size();
    x = private_copy<std::int64_t>(x, "x");
    lengths = private_copy<std::int64_t>(lengths, "lengths");
    reset = private_copy<bool>(reset, "reset");
    SignalInterrupt interrupt;
    Passes<ForwardPass<S>> passes;
    for (std::size_t i = 0; i < count; ++i) {
        typename ForwardPass<S>::ForwardArguments given;
        given.x = i > 0 && directions == 1 ? passes[i - 1]->output() : x;
        given.state = entry(states, i, count, "states");
        given.lengths = lengths;
        given.reset = reset;
        given.options = entry(options, i, count, "options");
        given.reverse = directions == 1 ? reverse : i > 0;
        given.training = training;
        given.segment = segment;
        given.restart = entry(restarts, i, count, "restarts");
        passes.push_back(std::make_unique<ForwardPass<S>>(*packed[i], std::move(given), interrupt));
    }
    run_passes(passes, directions == 2);
    interrupt.finish();
    py::list results;
    for (const auto& pass : passes) results.append(pass->result());
    return results;
}

// Returns results in the order of the layers, although the last layer runs first.
template <class S>
py::list recurrent_backward(const py::list& packed_list, const py::list& tapes, py::object dy, py::object dlasts,
                            const py::list& gradients, bool need_dx, int directions, py::object drestarts,
                            py::object state_gradients) {
    const auto packed = expect_packed<S>(packed_list, directions);
    const std::size_t count = packed.size();
    for (const auto& [list, name] : {std::pair(&tapes, "tapes"), std::pair(&gradients, "gradients")})
        if (list->size() != count)
            throw py::value_error(std::string(name) + ": expected " + std::to_string(count) + ", got " +
                                  std::to_string(list->size()));
    SignalInterrupt interrupt;
    std::vector<std::shared_ptr<const Tape>> held;
    Passes<BackwardPass<S>> passes;
    for (std::size_t k = 0; k < count; ++k) {
        const std::size_t i = directions == 2 ? k : count - 1 - k;
        if (!py::isinstance<Tape>(tapes[i]))
            throw py::type_error("tapes: expected tapes that recurrent_forward returned, got " + type_name(tapes[i]));
        held.push_back(tapes[i].cast<std::shared_ptr<Tape>>());
        typename BackwardPass<S>::BackwardArguments given;
        given.dy = k > 0 && directions == 1 ? passes.back()->dx() : dy;
        given.dlast = entry(dlasts, i, count, "dstates");
        given.gradients = gradients[i];
        given.need_dx = need_dx || (directions == 1 && i > 0);
        given.drestart = entry(drestarts, i, count, "drestarts");
        given.dstates = entry(state_gradients, i, count, "state_gradients");
        if (directions == 2) given.direction = int(i), given.directions = 2;
        passes.push_back(std::make_unique<BackwardPass<S>>(*packed[i], *held.back(), given, interrupt));
    }
    run_passes(passes, directions == 2);
    interrupt.finish();
    py::list results;
    for (const auto& pass : passes) results.append(pass->result());
    if (directions == 1) results.attr("reverse")();
    return results;
}

bool is_packed_double(const py::list& packed) { return !packed.empty() && py::isinstance<Packed<double>>(packed[0]); }

template <class S>
void register_packed(py::module_& m, const char* name) {
    shared_class<Packed<S>>(m, name)
        .def_property_readonly("input_size", [](const Packed<S>& packed) { return packed.sizes().D; })
        .def_property_readonly("hidden_size", [](const Packed<S>& packed) { return packed.sizes().H; })
        .def_property_readonly("cell", &Packed<S>::cell)
        .def_property_readonly("dtype", [](const Packed<S>&) { return dtype_name<S>(); })
        .def_property_readonly("precision", &Packed<S>::precision)
        .def_property_readonly("nbytes", &Packed<S>::bytes);
}

}  // namespace

void register_recurrent(py::module_& m) {
    shared_class<Tape>(m, "Tape", "What one layer and direction keeps for BPTT.")
        .def_readonly("x", &Tape::x)
        .def_readonly("y", &Tape::y)
        .def_readonly("state", &Tape::state)
        .def_readonly("lengths", &Tape::lengths)
        .def_readonly("reset", &Tape::reset)
        .def_readonly("reverse", &Tape::reverse)
        .def_readonly("c", &Tape::c)
        .def_property_readonly("gates", &Tape::readable_gates)
        .def_readonly("options", &Tape::options)
        .def_readonly("segment", &Tape::segment)
        .def_property_readonly("nbytes", &Tape::nbytes)
        .def(py::pickle([](const Tape& tape) { return tape.pickled(); }, &Tape::unpickled));
    register_packed<float>(m, "Packed32");
    register_packed<double>(m, "Packed64");
    m.def(
        "recurrent_forward",
        [](const py::list& packed, py::object x, py::object states, py::object lengths, py::object reset, bool training,
           bool reverse, int directions, py::object options, py::object segment, py::object restarts) {
            const auto run = is_packed_double(packed) ? &recurrent_forward<double> : &recurrent_forward<float>;
            return run(packed, x, states, lengths, reset, training, reverse, directions, options, segment, restarts);
        },
        py::arg("packed"), py::arg("x"), py::arg("states") = py::none(), py::arg("lengths") = py::none(),
        py::arg("reset") = py::none(), py::arg("training") = false, py::arg("reverse") = false,
        py::arg("directions") = 1, py::arg("options") = py::none(), py::arg("segment") = py::none(),
        py::arg("restarts") = py::none(),
        "Run consecutive layers, or both directions of one layer, over a sequence; return a list of (y, last state, "
        "tape or None).");
    m.def(
        "recurrent_backward",
        [](const py::list& packed, const py::list& tapes, py::object dy, py::object dstates, const py::list& gradients,
           bool need_dx, int directions, py::object drestarts, py::object state_gradients) {
            const auto run = is_packed_double(packed) ? &recurrent_backward<double> : &recurrent_backward<float>;
            return run(packed, tapes, dy, dstates, gradients, need_dx, directions, drestarts, state_gradients);
        },
        py::arg("packed"), py::arg("tapes"), py::arg("dy"), py::arg("dstates"), py::arg("gradients"),
        py::arg("need_dx"), py::arg("directions") = 1, py::arg("drestarts") = py::none(),
        py::arg("state_gradients") = py::none(),
        "Backpropagate through time: add to gradients, return a list of (dx or None, gradient of the first state). "
        "With "
        "two directions, dy is [T, N, 2 P] and each direction returns its own dx.");
}

}  // namespace fastrnn::bindings

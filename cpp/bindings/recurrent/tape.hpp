// What a forward pass keeps for backward.
#pragma once

#include <memory>

#include "bindings/python/arrays.hpp"
#include "kernels/recurrent/kept_gates.hpp"

namespace fastrnn::bindings {

// The tape of one layer and direction. The arrays belong to Python and are never written to again; ids, lengths
// and resets are private copies. What the cell does
// not have is None.
struct Tape : std::enable_shared_from_this<Tape> {
    py::object x, y, state, lengths, reset, options;  // arguments of the pass, except y; options: a dict of arrays
    py::object c, gates, q, normed, scale;
    py::object segment, restart;
    bool reverse = false;
    Index bounded_gates = 0;  // as in CellSizes: if there are some, `gates` has 16 bits for each number

    // Bytes of the arrays that the pass created.
    py::ssize_t nbytes() const {
        py::ssize_t bytes = 0;
        for (const py::object* array : {&y, &c, &gates, &q, &normed, &scale})
            if (!array->is_none()) bytes += py::reinterpret_borrow<py::array>(*array).nbytes();
        return bytes;
    }

    // The gates as floats: what the pass kept, or a copy of it, widened.
    py::object readable_gates() const {
        if (!bounded_gates) return gates;
        const auto kept = expect<std::uint16_t>(gates, "tape.gates", {{"T", any}, {"N", any}, {"Q", any}, {"H", any}});
        const Index T = kept.shape(0), N = kept.shape(1), Q = kept.shape(2), H = kept.shape(3);
        auto wide = new_array<float>("tape.gates", {T, N, Q, H});
        widen_gates(kept.data(), T * N, Q, bounded_gates, H, wide.mutable_data());
        return make_read_only(wide);
    }

    py::tuple pickled() const {
        return py::make_tuple(x, y, state, lengths, reset, options, c, gates, q, normed, scale, segment, restart,
                              reverse, bounded_gates);
    }

    static Tape unpickled(const py::tuple& from) {
        if (from.size() != 15) throw py::value_error("tape: expected 15 parts, got " + std::to_string(from.size()));
        Tape tape;
        std::size_t i = 0;
        for (py::object* part : {&tape.x, &tape.y, &tape.state, &tape.lengths, &tape.reset, &tape.options, &tape.c,
                                 &tape.gates, &tape.q, &tape.normed, &tape.scale, &tape.segment, &tape.restart})
            *part = from[i++];
        tape.reverse = from[i].cast<bool>();
        tape.bounded_gates = from[i + 1].cast<Index>();
        tape.x = private_copy<std::int64_t>(tape.x, "x");
        tape.lengths = private_copy<std::int64_t>(tape.lengths, "lengths");
        tape.reset = private_copy<bool>(tape.reset, "reset");
        return tape;
    }
};

}  // namespace fastrnn::bindings

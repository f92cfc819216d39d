// What a forward pass keeps for backward.
#pragma once

#include <memory>

#include "bindings/python/arrays.hpp"

namespace fastrnn::bindings {

// The tape of one layer and direction. The arrays belong to Python and are never written to again; ids, lengths
// and resets are private copies. What the cell does
// not have is None.
struct Tape : std::enable_shared_from_this<Tape> {
    py::object x, y, state, lengths, reset, options;  // arguments of the pass, except y; options: a dict of arrays
    py::object c, gates, q, normed, scale;
    py::object segment, restart;
    bool reverse = false;

    // Bytes of the arrays that the pass created.
    py::ssize_t nbytes() const {
        py::ssize_t bytes = 0;
        for (const py::object* array : {&y, &c, &gates, &q, &normed, &scale})
            if (!array->is_none()) bytes += py::reinterpret_borrow<py::array>(*array).nbytes();
        return bytes;
    }

    py::tuple pickled() const {
        return py::make_tuple(x, y, state, lengths, reset, options, c, gates, q, normed, scale, segment, restart,
                              reverse);
    }

    static Tape unpickled(const py::tuple& from) {
        if (from.size() != 14) throw py::value_error("tape: expected 14 parts, got " + std::to_string(from.size()));
        Tape tape;
        std::size_t i = 0;
        for (py::object* part : {&tape.x, &tape.y, &tape.state, &tape.lengths, &tape.reset, &tape.options, &tape.c,
                                 &tape.gates, &tape.q, &tape.normed, &tape.scale, &tape.segment, &tape.restart})
            *part = from[i++];
        tape.reverse = from[i].cast<bool>();
        tape.x = private_copy<std::int64_t>(tape.x, "x");
        tape.lengths = private_copy<std::int64_t>(tape.lengths, "lengths");
        tape.reset = private_copy<bool>(tape.reset, "reset");
        return tape;
    }
};

}  // namespace fastrnn::bindings

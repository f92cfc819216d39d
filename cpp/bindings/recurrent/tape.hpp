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
};

}  // namespace fastrnn::bindings

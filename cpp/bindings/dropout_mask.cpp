// Dropout masks as arrays for Python.
#include "kernels/dense/dropout_mask.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
py::object draw(const MaskProblem& problem, double dropped, double kept) {
    auto mask = new_array<S>("mask", {problem.steps, problem.width});
    const ReleasedGil release;
    draw_mask(problem, S(dropped), S(kept), mask.mutable_data(), available_threads());
    return py::object(std::move(mask));
}

}  // namespace

void register_dropout_mask(py::module_& m) {
    m.def(
        "dropout_mask",
        [](std::uint64_t key, std::uint64_t purpose, Index first, Index steps, Index width, std::uint32_t threshold,
           double dropped, double kept, bool wide, Index offset, Index total) {
            if (first < 0 || steps < 0 || width < 0)
                throw py::value_error("first, steps, width: expected 0 or more, got " + std::to_string(first) + ", " +
                                      std::to_string(steps) + ", " + std::to_string(width));
            if (total < 0) total = width;
            if (offset < 0 || offset > total || width > total - offset)
                throw py::value_error("offset, width: expected a window of the " + std::to_string(total) +
                                      " numbers of a step, got " + std::to_string(offset) + ", " +
                                      std::to_string(width));
            MaskProblem problem{};
            problem.key[0] = key, problem.key[1] = purpose;
            problem.first = first, problem.steps = steps;
            problem.width = width, problem.offset = offset, problem.total = total;
            problem.threshold = threshold;
            return wide ? draw<double>(problem, dropped, kept) : draw<float>(problem, dropped, kept);
        },
        py::arg("key"), py::arg("purpose"), py::arg("first"), py::arg("steps"), py::arg("width"), py::arg("threshold"),
        py::arg("dropped"), py::arg("kept"), py::arg("wide"), py::arg("offset") = 0, py::arg("total") = -1,
        "Draw a mask [steps, width]: `dropped` where a random 32-bit number is below the threshold, else `kept`; "
        "float64 if `wide`. Of the `total` numbers of a step (-1: width), those from `offset` on.");
}

}  // namespace fastrnn::bindings

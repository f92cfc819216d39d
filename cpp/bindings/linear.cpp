#include "kernels/linear.hpp"

#include "arrays.hpp"
#include "register.hpp"
#include "runtime.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
LinearProblem<S> expect_problem(py::handle x, py::handle weight, py::handle bias, Interrupt& interrupt) {
    const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
    const Index F = w.shape(0), K = w.shape(1);
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", K}});
    return {Index(rows.shape(0)), K, F, rows.data(), w.data(), optional_data<S>(bias, "bias", {{"F", F}}), &interrupt};
}

template <class S>
py::object forward(py::object x, py::object weight, py::object bias) {
    SignalInterrupt interrupt;
    const auto p = expect_problem<S>(x, weight, bias, interrupt);
    auto y = new_array<S>("y", {p.M, p.F});
    S* const to = y.mutable_data();
    {
        const py::gil_scoped_release release;
        linear_forward(p, to, get_num_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::object(std::move(y));
}

template <class S>
py::object backward(py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias,
                    bool need_dx) {
    SignalInterrupt interrupt;
    const auto p = expect_problem<S>(x, weight, py::none(), interrupt);
    const S* const from = expect<S>(dy, "dy", {{"M", p.M}, {"F", p.F}}).data();
    S* const dw = expect_writable<S>(dweight, "dweight", {{"F", p.F}, {"K", p.K}});
    S* const db = optional_writable<S>(dbias, "dbias", {{"F", p.F}});
    auto dx = need_dx ? new_array<S>("dx", {p.M, p.K}) : Array<S>();
    S* const to = need_dx ? dx.mutable_data() : nullptr;
    {
        const py::gil_scoped_release release;
        linear_backward(p, from, to, dw, db, get_num_threads(), fresh_workspace());
    }
    interrupt.finish();
    return need_dx ? py::object(std::move(dx)) : py::none();
}

}  // namespace

void register_linear(py::module_& m) {
    m.def(
        "linear_forward",
        [](py::object x, py::object weight, py::object bias) {
            return is_double(weight) ? forward<double>(x, weight, bias) : forward<float>(x, weight, bias);
        },
        py::arg("x"), py::arg("weight"), py::arg("bias"), "y = x W^T + b.");
    m.def(
        "linear_backward",
        [](py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias, bool need_dx) {
            return is_double(weight) ? backward<double>(x, weight, dy, dweight, dbias, need_dx)
                                     : backward<float>(x, weight, dy, dweight, dbias, need_dx);
        },
        py::arg("x"), py::arg("weight"), py::arg("dy"), py::arg("dweight"), py::arg("dbias"), py::arg("need_dx"),
        "Adds into dweight and dbias; gives dx or None.");
}

}  // namespace fastrnn::bindings

#include "kernels/dense/linear.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/register.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
LinearProblem<S> expect_problem(py::handle x, py::handle weight, Interrupt& interrupt) {
    const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
    const Index F = w.shape(0), K = w.shape(1);
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", K}});
    return {Index(rows.shape(0)), K, F, rows.data(), w.data(), nullptr, &interrupt};
}

// An immutable packed snapshot of a linear layer's weights.
template <class S>
class LinearPanels {
   public:
    LinearPanels(py::handle weight, py::handle bias) {
        const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
        F = w.shape(0), K = w.shape(1);
        const S* const b = optional_data<S>(bias, "bias", {{"F", F}});
        panels = allocate_aligned<S>(panels_size<S>(K, F));
        padded = allocate_aligned<S>(round_up_to_lanes<S>(F));
        pack_transposed(w.data(), F, K, panels.get());
        pad_bias(b, F, padded.get());
    }

    Index K, F;
    std::unique_ptr<S[], AlignedDelete> panels, padded;
};

template <class S>
Array<S> forward(const LinearPanels<S>& panels, py::object x) {
    SignalInterrupt interrupt;
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", panels.K}});
    const LinearProblem<S> p{Index(rows.shape(0)), panels.K, panels.F, rows.data(), nullptr, nullptr, &interrupt};
    auto y = new_array<S>("y", {p.M, p.F});
    S* const to = y.mutable_data();
    {
        const py::gil_scoped_release release;
        linear_forward(p, panels.panels.get(), panels.padded.get(), to, get_num_threads(), fresh_workspace());
    }
    interrupt.finish();
    return y;
}

template <class S>
py::object backward(py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias,
                    bool need_dx) {
    SignalInterrupt interrupt;
    const auto p = expect_problem<S>(x, weight, interrupt);
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

template <class S>
void register_dtype(py::module_& m, const char* name) {
    py::class_<LinearPanels<S>>(m, name, py::module_local());
    m.def("linear_forward", &forward<S>, py::arg("panels"), py::arg("x"), "y = x W^T + b.");
}

}  // namespace

void register_linear(py::module_& m) {
    register_dtype<float>(m, "LinearPanels32");
    register_dtype<double>(m, "LinearPanels64");
    m.def(
        "linear_pack",
        [](py::object weight, py::object bias) {
            return is_double(weight) ? py::cast(std::make_unique<LinearPanels<double>>(weight, bias))
                                     : py::cast(std::make_unique<LinearPanels<float>>(weight, bias));
        },
        py::arg("weight"), py::arg("bias"), "Packs a snapshot of a linear layer's weights.");
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

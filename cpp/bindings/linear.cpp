// The linear layer: checks, packed weights, then the forward and backward kernels.
#include "kernels/dense/linear.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/shared.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
LinearProblem<S> expect_linear_problem(py::handle x, py::handle weight, Interrupt& interrupt) {
    const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
    const Index F = w.shape(0), K = w.shape(1);
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", K}});
    LinearProblem<S> p;
    p.M = rows.shape(0), p.K = K, p.F = F;
    p.x = rows.data();
    p.weight = w.data();
    p.interrupt = &interrupt;
    return p;
}

// An immutable packed snapshot of a linear layer's weights.
template <class S>
class PackedLinear : public std::enable_shared_from_this<PackedLinear<S>> {
   public:
    PackedLinear(py::handle weight, py::handle given_bias) {
        const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
        F = w.shape(0), K = w.shape(1);
        const S* const b = optional_data<S>(given_bias, "bias", {{"F", F}});
        constexpr const char *what = "packed weights", *advice = "use a smaller layer";
        panels = allocate_aligned<S>(panels_size<S>(K, F), what, advice);
        bias = allocate_aligned<S>(round_up_to_lanes<S>(F), what, advice);
        pack_transposed(w.data(), F, K, panels.get());
        pad_bias(b, F, bias.get());
    }

    Index K, F;
    std::unique_ptr<S[], AlignedDelete> panels, bias;
};

template <class S>
Array<S> forward_linear(const PackedLinear<S>& packed, py::object x) {
    SignalInterrupt interrupt;
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", packed.K}});
    LinearProblem<S> p;
    p.M = rows.shape(0), p.K = packed.K, p.F = packed.F;
    p.x = rows.data();
    p.interrupt = &interrupt;
    auto y = new_array<S>("y", {p.M, p.F}, false, "use fewer rows at a time, or a smaller layer");
    S* const to = y.mutable_data();
    {
        const ReleasedGil release;
        linear_forward(p, packed.panels.get(), packed.bias.get(), to, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return y;
}

template <class S>
py::object backward_linear(py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias,
                           bool need_dx) {
    SignalInterrupt interrupt;
    const auto p = expect_linear_problem<S>(x, weight, interrupt);
    const S* const from = expect<S>(dy, "dy", {{"M", p.M}, {"F", p.F}}).data();
    S* const dw = expect_writable<S>(dweight, "dweight", {{"F", p.F}, {"K", p.K}});
    S* const db = optional_writable<S>(dbias, "dbias", {{"F", p.F}});
    auto dx = need_dx ? new_array<S>("dx", {p.M, p.K}) : Array<S>();
    S* const to = need_dx ? dx.mutable_data() : nullptr;
    {
        const ReleasedGil release;
        linear_backward(p, from, to, dw, db, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return need_dx ? py::object(std::move(dx)) : py::none();
}

// The weight that was packed, to the bit.
template <class S>
Array<S> weight_of(const PackedLinear<S>& packed) {
    auto weight = new_array<S>("weight", {packed.F, packed.K});
    unpack_transposed(packed.panels.get(), packed.F, packed.K, weight.mutable_data());
    return weight;
}

template <class S>
void register_packed_linear(py::module_& m, const char* name) {
    shared_class<PackedLinear<S>>(m, name);
    m.def("linear_weight", &weight_of<S>, py::arg("panels"), "Return the weight [F, K] that was packed.");
    m.def("linear_forward", &forward_linear<S>, py::arg("panels"), py::arg("x"), "Return y = x W^T + b.");
}

}  // namespace

void register_linear(py::module_& m) {
    register_packed_linear<float>(m, "PackedLinear32");
    register_packed_linear<double>(m, "PackedLinear64");
    m.def(
        "linear_pack",
        [](py::object weight, py::object bias) {
            return is_double(weight) ? share(std::make_shared<PackedLinear<double>>(weight, bias))
                                     : share(std::make_shared<PackedLinear<float>>(weight, bias));
        },
        py::arg("weight"), py::arg("bias"), "Return a packed snapshot of a linear layer's weights.");
    m.def(
        "linear_backward",
        [](py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias, bool need_dx) {
            return is_double(weight) ? backward_linear<double>(x, weight, dy, dweight, dbias, need_dx)
                                     : backward_linear<float>(x, weight, dy, dweight, dbias, need_dx);
        },
        py::arg("x"), py::arg("weight"), py::arg("dy"), py::arg("dweight"), py::arg("dbias"), py::arg("need_dx"),
        "Add to dweight and dbias; return dx or None.");
}

}  // namespace fastrnn::bindings

// The linear layer: checks, packed weights, then the forward and backward kernels.
#include "kernels/dense/linear.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/precision.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/shared.hpp"
#include "bindings/python/thread_pool.hpp"
#include "bindings/python/weight_memory.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
LinearProblem<S> expect_linear_problem(py::handle x, py::handle weight, const std::string& precision,
                                       Interrupt& interrupt) {
    const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
    const Index F = w.shape(0), K = w.shape(1);
    const auto rows = expect<S>(x, "x", {{"M", any}, {"K", K}});
    LinearProblem<S> p;
    p.M = rows.shape(0), p.K = K, p.F = F;
    p.x = rows.data();
    p.weight = w.data();
    p.interrupt = &interrupt;
    p.narrow = expect_trained_precision(precision, std::is_same_v<S, double>, K);
    return p;
}

// An immutable packed snapshot of a linear layer's weights.
template <class S>
class PackedLinear : public std::enable_shared_from_this<PackedLinear<S>> {
   public:
    PackedLinear(const PackedLinear&) = delete;
    PackedLinear& operator=(const PackedLinear&) = delete;
    PackedLinear(py::handle weight, py::handle given_bias, const std::string& precision) {
        const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
        F = w.shape(0), K = w.shape(1);
        const S* const b = optional_data<S>(given_bias, "bias", {{"F", F}});
        const NarrowKernels* const narrow = expect_precision(precision, std::is_same_v<S, double>, K);
        const auto take = [this](Index count) { return memory_.template take<S>(count); };
        S* const padded = take(round_up_to_lanes<S>(F));
        panels = take_plain_panels(narrow, w.data(), F, K, take);
        bias = pad_bias(b, F, padded);
    }

    const char* precision() const { return panels.narrow ? precision_name(*panels.narrow) : dtype_name<S>(); }

    Index K, F;
    Panels<S> panels;
    const S* bias;

   private:
    WeightMemory memory_;
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
        linear_forward(p, packed.panels, packed.bias, to, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return y;
}

template <class S>
py::object backward_linear(py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias,
                           bool need_dx, const std::string& precision) {
    SignalInterrupt interrupt;
    const auto p = expect_linear_problem<S>(x, weight, precision, interrupt);
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

// The weight that was packed, to the bit; of fewer bits, as it was rounded.
template <class S>
Array<S> weight_of(const PackedLinear<S>& packed) {
    auto weight = new_array<S>("weight", {packed.F, packed.K});
    if constexpr (std::is_same_v<S, float>) {
        if (packed.panels.narrow) {
            widen_plain_panels(packed.panels, packed.F, packed.K, weight.mutable_data());
            return weight;
        }
    }
    unpack_transposed(packed.panels.scalars, packed.F, packed.K, weight.mutable_data());
    return weight;
}

template <class S>
void register_packed_linear(py::module_& m, const char* name) {
    shared_class<PackedLinear<S>>(m, name).def_property_readonly("precision", &PackedLinear<S>::precision);
    m.def("linear_weight", &weight_of<S>, py::arg("panels"), "Return the weight [F, K] that was packed.");
    m.def("linear_forward", &forward_linear<S>, py::arg("panels"), py::arg("x"), "Return y = x W^T + b.");
}

}  // namespace

void register_linear(py::module_& m) {
    register_packed_linear<float>(m, "PackedLinear32");
    register_packed_linear<double>(m, "PackedLinear64");
    m.def(
        "linear_pack",
        [](py::object weight, py::object bias, const std::string& precision) {
            return is_double(weight) ? share(std::make_shared<PackedLinear<double>>(weight, bias, precision))
                                     : share(std::make_shared<PackedLinear<float>>(weight, bias, precision));
        },
        py::arg("weight"), py::arg("bias"), py::arg("precision") = "float32",
        "Return a packed snapshot of a linear layer's weights.");
    m.def(
        "linear_backward",
        [](py::object x, py::object weight, py::object dy, py::object dweight, py::object dbias, bool need_dx,
           const std::string& precision) {
            const auto run = is_double(weight) ? backward_linear<double> : backward_linear<float>;
            return run(x, weight, dy, dweight, dbias, need_dx, precision);
        },
        py::arg("x"), py::arg("weight"), py::arg("dy"), py::arg("dweight"), py::arg("dbias"), py::arg("need_dx"),
        py::arg("precision") = "float32", "Add to dweight and dbias; return dx or None.");
}

}  // namespace fastrnn::bindings

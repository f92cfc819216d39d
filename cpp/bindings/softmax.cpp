// Softmax and cross-entropy, alone and after a linear layer.
#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/dense/blocked_softmax.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
py::tuple softmax_cross_entropy(py::object logits, py::object targets) {
    const auto rows = expect<S>(logits, "logits", {{"M", any}, {"V", any}});
    const Index M = rows.shape(0), V = rows.shape(1);
    if (V < 1) throw py::value_error("logits: expected [M, V] with V >= 1, got " + describe(rows));
    const auto ids = expect_ids(targets, "targets", {{"M", M}}, V);
    auto losses = new_array<S>("losses", {M});
    auto dlogits = new_array<S>("dlogits", {M, V}, false, "use fewer rows at a time");
    S* const loss = losses.mutable_data();
    S* const d = dlogits.mutable_data();
    {
        const ReleasedGil release;
        std::copy(rows.data(), rows.data() + M * V, d);
        for (Index m = 0; m < M; ++m) loss[m] = softmax_cross_entropy_row(d + m * V, V, ids.data()[m], S(1));
    }
    return py::make_tuple(losses, dlogits);
}

template <class S>
py::tuple linear_cross_entropy(py::object h, py::object weight, py::object bias, py::object targets, double scale,
                               py::object dweight, py::object dbias, bool need_dh, double smoothing) {
    const auto w = expect<S>(weight, "weight", {{"V", any}, {"K", any}});
    const Index V = w.shape(0), K = w.shape(1);
    if (V < 1) throw py::value_error("weight: expected [V, K] with V >= 1, got " + describe(w));
    const auto rows = expect<S>(h, "h", {{"M", any}, {"K", K}});
    const Index M = rows.shape(0);
    const auto ids = expect_ids(targets, "targets", {{"M", M}}, V);
    auto losses = new_array<S>("losses", {M});
    auto dh = need_dh ? new_array<S>("dh", {M, K}) : Array<S>();
    SignalInterrupt interrupt;
    LinearCrossEntropyProblem<S> p;
    p.linear.M = M, p.linear.K = K, p.linear.F = V;
    p.linear.x = rows.data();
    p.linear.weight = w.data();
    p.linear.bias = optional_data<S>(bias, "bias", {{"V", V}});
    p.linear.interrupt = &interrupt;
    p.targets = ids.data();
    p.scale = S(scale);
    p.smoothing = S(smoothing);
    p.losses = losses.mutable_data();
    p.dh = need_dh ? dh.mutable_data() : nullptr;
    p.dweight = optional_writable<S>(dweight, "dweight", {{"V", V}, {"K", K}});
    p.dbias = optional_writable<S>(dbias, "dbias", {{"V", V}});
    {
        const ReleasedGil release;
        fastrnn::linear_cross_entropy(p, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(losses, need_dh ? py::object(std::move(dh)) : py::none());
}

}  // namespace

void register_softmax(py::module_& m) {
    m.def(
        "softmax_cross_entropy",
        [](py::object logits, py::object targets) {
            return is_double(logits) ? softmax_cross_entropy<double>(logits, targets)
                                     : softmax_cross_entropy<float>(logits, targets);
        },
        py::arg("logits"), py::arg("targets"),
        "Return losses [M] in nats and their gradients softmax - onehot [M, V].");
    m.def(
        "linear_cross_entropy",
        [](py::object h, py::object weight, py::object bias, py::object targets, double scale, py::object dweight,
           py::object dbias, bool need_dh, double smoothing) {
            const auto run = is_double(weight) ? linear_cross_entropy<double> : linear_cross_entropy<float>;
            return run(h, weight, bias, targets, scale, dweight, dbias, need_dh, smoothing);
        },
        py::arg("h"), py::arg("weight"), py::arg("bias"), py::arg("targets"), py::arg("scale"), py::arg("dweight"),
        py::arg("dbias"), py::arg("need_dh"), py::arg("smoothing") = 0.0,
        "Return losses [M] of a linear layer's logits, and dh or None; add to dweight and dbias.");
}

}  // namespace fastrnn::bindings

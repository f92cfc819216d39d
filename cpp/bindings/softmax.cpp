// Softmax and cross-entropy, alone and after a linear layer.
#include <cmath>

#include "bindings/python/arrays.hpp"
#include "bindings/python/precision.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/dense/blocked_softmax.hpp"

namespace fastrnn::bindings {
namespace {

// Checks the weights [V] of classes; null where there are none.
template <class S>
const S* expect_class_weight(py::handle class_weight, Index V) {
    const S* const weights = optional_data<S>(class_weight, "class_weight", {{"V", V}});
    for (Index v = 0; weights && v < V; ++v)
        if (!(weights[v] >= S(0)) || std::isinf(weights[v]))
            throw py::value_error("class_weight: expected finite numbers of at least 0, got " +
                                  std::to_string(weights[v]) + " at position " + std::to_string(v));
    return weights;
}

template <class S>
py::tuple softmax_cross_entropy(py::object logits, py::object targets, double scale, double smoothing,
                                py::object class_weight) {
    const auto rows = expect<S>(logits, "logits", {{"M", any}, {"V", any}});
    CrossEntropyProblem<S> p;
    p.M = rows.shape(0), p.V = rows.shape(1);
    if (p.V < 1) throw py::value_error("logits: expected [M, V] with V >= 1, got " + describe(rows));
    const auto ids = expect_ids(targets, "targets", {{"M", p.M}}, p.V);
    auto losses = new_array<S>("losses", {p.M});
    auto dlogits = new_array<S>("dlogits", {p.M, p.V}, false, "use fewer rows at a time");
    p.logits = rows.data();
    p.targets = ids.data();
    p.class_weight = expect_class_weight<S>(class_weight, p.V);
    p.scale = S(scale), p.smoothing = S(smoothing);
    p.losses = losses.mutable_data();
    p.d = dlogits.mutable_data();
    {
        const ReleasedGil release;
        fastrnn::softmax_cross_entropy(p, available_threads());
    }
    return py::make_tuple(losses, dlogits);
}

template <class S>
py::tuple linear_cross_entropy(py::object h, py::object weight, py::object bias, py::object targets, double scale,
                               py::object dweight, py::object dbias, bool need_dh, double smoothing,
                               const std::string& precision) {
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
    const bool trains = need_dh || !dweight.is_none() || !dbias.is_none();
    p.linear.narrow = (trains ? expect_trained_precision : expect_precision)(precision, std::is_same_v<S, double>, K);
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
        [](py::object logits, py::object targets, double scale, double smoothing, py::object class_weight) {
            const auto run = is_double(logits) ? softmax_cross_entropy<double> : softmax_cross_entropy<float>;
            return run(logits, targets, scale, smoothing, class_weight);
        },
        py::arg("logits"), py::arg("targets"), py::arg("scale") = 1.0, py::arg("smoothing") = 0.0,
        py::arg("class_weight") = py::none(),
        "Return losses [M] in nats and the gradients of their scaled sum [M, V].");
    m.def(
        "linear_cross_entropy",
        [](py::object h, py::object weight, py::object bias, py::object targets, double scale, py::object dweight,
           py::object dbias, bool need_dh, double smoothing, const std::string& precision) {
            const auto run = is_double(weight) ? linear_cross_entropy<double> : linear_cross_entropy<float>;
            return run(h, weight, bias, targets, scale, dweight, dbias, need_dh, smoothing, precision);
        },
        py::arg("h"), py::arg("weight"), py::arg("bias"), py::arg("targets"), py::arg("scale"), py::arg("dweight"),
        py::arg("dbias"), py::arg("need_dh"), py::arg("smoothing") = 0.0, py::arg("precision") = "float32",
        "Return losses [M] of a linear layer's logits, and dh or None; add to dweight and dbias.");
}

}  // namespace fastrnn::bindings

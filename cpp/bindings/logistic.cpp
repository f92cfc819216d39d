// The logistic loss, alone and after a linear layer.
#include "kernels/dense/logistic.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

// Checks the targets [M, K] and weights [K] or [1] of a problem. The arrays must outlive it.
template <class S>
LogisticProblem<S> expect_logistic_problem(py::handle targets, py::handle pos_weight, Index M, Index K) {
    LogisticProblem<S> p;
    p.M = M, p.K = K;
    p.targets = expect<S>(targets, "targets", {{"M", M}, {"K", K}}).data();
    for (Index i = 0; i < M * K; ++i) {
        const S y = p.targets[i];
        if (!(y >= S(0) && y <= S(1)) && y != S(-1))
            throw py::value_error("targets: expected 0 .. 1, or -1 for none, got " + std::to_string(y) +
                                  " at position " + std::to_string(i));
    }
    if (pos_weight.is_none()) return p;
    const auto weights = expect<S>(pos_weight, "pos_weight", {{"K", any}});
    const Index count = weights.shape(0);
    if (count != K && count != 1)
        throw py::value_error("pos_weight: expected [" + std::to_string(K) + "], got " + describe(weights));
    for (Index i = 0; i < count; ++i)
        if (!(weights.data()[i] >= S(0)) || std::isinf(weights.data()[i]))
            throw py::value_error("pos_weight: expected finite numbers of at least 0, got " +
                                  std::to_string(weights.data()[i]));
    if (count == 1)
        p.weight = weights.data()[0];
    else
        p.pos_weight = weights.data();
    return p;
}

template <class S>
py::tuple binary_cross_entropy(py::object logits, py::object targets, py::object pos_weight, double scale,
                               double smoothing) {
    const auto rows = expect<S>(logits, "logits", {{"M", any}, {"K", any}});
    const Index M = rows.shape(0), K = rows.shape(1);
    auto p = expect_logistic_problem<S>(targets, pos_weight, M, K);
    auto losses = new_array<S>("losses", {M, K});
    auto dlogits = new_array<S>("dlogits", {M, K});
    p.scale = S(scale), p.smoothing = S(smoothing);
    p.losses = losses.mutable_data();
    S* const d = dlogits.mutable_data();
    {
        const ReleasedGil release;
        fastrnn::binary_cross_entropy(p, rows.data(), d, available_threads());
    }
    return py::make_tuple(losses, dlogits);
}

template <class S>
py::tuple linear_binary_cross_entropy(py::object h, py::object weight, py::object bias, py::object targets,
                                      py::object pos_weight, double scale, py::object dweight, py::object dbias,
                                      bool need_dh, double smoothing) {
    const auto w = expect<S>(weight, "weight", {{"F", any}, {"K", any}});
    const Index F = w.shape(0), K = w.shape(1);
    if (F < 1) throw py::value_error("weight: expected [F, K] with F >= 1, got " + describe(w));
    const auto rows = expect<S>(h, "h", {{"M", any}, {"K", K}});
    const Index M = rows.shape(0);
    auto p = expect_logistic_problem<S>(targets, pos_weight, M, F);
    auto losses = new_array<S>("losses", {M, F});
    auto dh = need_dh ? new_array<S>("dh", {M, K}) : Array<S>();
    p.scale = S(scale), p.smoothing = S(smoothing);
    p.losses = losses.mutable_data();
    SignalInterrupt interrupt;
    LinearProblem<S> linear;
    linear.M = M, linear.K = K, linear.F = F;
    linear.x = rows.data();
    linear.weight = w.data();
    linear.bias = optional_data<S>(bias, "bias", {{"F", F}});
    linear.interrupt = &interrupt;
    const LinearGradients<S> gradients{need_dh ? dh.mutable_data() : nullptr,
                                       optional_writable<S>(dweight, "dweight", {{"F", F}, {"K", K}}),
                                       optional_writable<S>(dbias, "dbias", {{"F", F}})};
    {
        const ReleasedGil release;
        fastrnn::linear_binary_cross_entropy(p, linear, gradients, available_threads(), fresh_workspace());
    }
    interrupt.finish();
    return py::make_tuple(losses, need_dh ? py::object(std::move(dh)) : py::none());
}

}  // namespace

void register_logistic(py::module_& m) {
    m.def(
        "binary_cross_entropy",
        [](py::object logits, py::object targets, py::object pos_weight, double scale, double smoothing) {
            const auto run = is_double(logits) ? binary_cross_entropy<double> : binary_cross_entropy<float>;
            return run(logits, targets, pos_weight, scale, smoothing);
        },
        py::arg("logits"), py::arg("targets"), py::arg("pos_weight"), py::arg("scale"), py::arg("smoothing") = 0.0,
        "Return losses [M, K] in nats and the gradients of their scaled sum [M, K].");
    m.def(
        "linear_binary_cross_entropy",
        [](py::object h, py::object weight, py::object bias, py::object targets, py::object pos_weight, double scale,
           py::object dweight, py::object dbias, bool need_dh, double smoothing) {
            const auto run =
                is_double(weight) ? linear_binary_cross_entropy<double> : linear_binary_cross_entropy<float>;
            return run(h, weight, bias, targets, pos_weight, scale, dweight, dbias, need_dh, smoothing);
        },
        py::arg("h"), py::arg("weight"), py::arg("bias"), py::arg("targets"), py::arg("pos_weight"), py::arg("scale"),
        py::arg("dweight"), py::arg("dbias"), py::arg("need_dh"), py::arg("smoothing") = 0.0,
        "Return losses [M, F] of a linear layer's logits, and dh or None; add to dweight and dbias.");
}

}  // namespace fastrnn::bindings

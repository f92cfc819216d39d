// Losses of real numbers: squared and absolute error, Huber's and the quantile loss.
#include "kernels/dense/regression.hpp"

#include <cmath>

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

RegressionLoss loss_of(const std::string& kind) {
    if (kind == "squared") return RegressionLoss::squared;
    if (kind == "absolute") return RegressionLoss::absolute;
    if (kind == "huber") return RegressionLoss::huber;
    if (kind == "quantile") return RegressionLoss::quantile;
    throw py::value_error("kind: expected 'squared', 'absolute', 'huber' or 'quantile', got '" + kind + "'");
}

template <class S>
py::tuple regression_loss(py::object predictions, py::object targets, py::object counted, const std::string& kind,
                          py::object parameters, double scale) {
    const auto rows = expect<S>(predictions, "predictions", {{"M", any}, {"Q", any}});
    RegressionProblem<S> p;
    p.kind = loss_of(kind);
    p.M = rows.shape(0), p.Q = rows.shape(1);
    p.predictions = rows.data();
    p.targets = expect<S>(targets, "targets", {{"M", p.M}}).data();
    const py::object mask = private_copy<bool>(std::move(counted), "counted");
    p.counted = optional_data<bool>(mask, "counted", {{"M", p.M}});
    p.parameters = optional_data<S>(parameters, "parameters", {{"Q", p.Q}});
    const bool bare = p.kind == RegressionLoss::squared || p.kind == RegressionLoss::absolute;
    if (!p.parameters && !bare) throw py::value_error("parameters: expected [Q] with kind '" + kind + "', got None");
    for (Index m = 0; m < p.M; ++m)
        if ((!p.counted || p.counted[m]) && !std::isfinite(p.targets[m]))
            throw py::value_error("targets: expected finite numbers, got " + std::to_string(p.targets[m]) +
                                  " at position " + std::to_string(m));
    auto losses = new_array<S>("losses", {p.M, p.Q});
    auto dpredictions = new_array<S>("dpredictions", {p.M, p.Q});
    p.scale = S(scale);
    p.losses = losses.mutable_data();
    p.d = dpredictions.mutable_data();
    {
        const ReleasedGil release;
        fastrnn::regression_losses(p, available_threads());
    }
    return py::make_tuple(losses, dpredictions);
}

}  // namespace

void register_regression(py::module_& m) {
    m.def(
        "regression_loss",
        [](py::object predictions, py::object targets, py::object counted, const std::string& kind,
           py::object parameters, double scale) {
            const auto run = is_double(predictions) ? regression_loss<double> : regression_loss<float>;
            return run(predictions, targets, counted, kind, parameters, scale);
        },
        py::arg("predictions"), py::arg("targets"), py::arg("counted"), py::arg("kind"), py::arg("parameters"),
        py::arg("scale"), "Return losses [M, Q] and the gradients of their scaled sum [M, Q].");
}

}  // namespace fastrnn::bindings

// Optimiser steps, clipping and norms on flat arrays.
#include "kernels/dense/optimizers.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
Index length(py::handle values, const char* name) {
    return Index(expect<S>(values, name, {{"n", any}}).shape(0));
}

template <class S>
void sgd(py::object p, py::object g, py::object m, double learning_rate, double momentum, double weight_decay,
         bool nesterov, double gradient_scale) {
    const Index n = length<S>(p, "p");
    S* const value = expect_writable<S>(p, "p", {{"n", n}});
    const S* const gradient = expect<S>(g, "g", {{"n", n}}).data();
    S* const velocity = optional_writable<S>(m, "m", {{"n", n}});
    if (!velocity && momentum != 0) throw py::value_error("m: expected an array because momentum is not 0, got None");
    const ReleasedGil release;
    sgd_step(value, gradient, velocity, n,
             {S(learning_rate), S(momentum), S(weight_decay), nesterov, S(gradient_scale)}, available_threads());
}

template <class S>
void rmsprop(py::object p, py::object g, py::object v, double learning_rate, double alpha, double epsilon,
             double weight_decay, double gradient_scale) {
    const Index n = length<S>(p, "p");
    S* const value = expect_writable<S>(p, "p", {{"n", n}});
    const S* const gradient = expect<S>(g, "g", {{"n", n}}).data();
    S* const square = expect_writable<S>(v, "v", {{"n", n}});
    const ReleasedGil release;
    rmsprop_step(value, gradient, square, n,
                 {S(learning_rate), S(alpha), S(epsilon), S(weight_decay), S(gradient_scale)}, available_threads());
}

template <class S>
void adam(py::object p, py::object g, py::object m, py::object v, const AdamSettings& settings) {
    const Index n = length<S>(p, "p");
    S* const value = expect_writable<S>(p, "p", {{"n", n}});
    const S* const gradient = expect<S>(g, "g", {{"n", n}}).data();
    S* const mean = expect_writable<S>(m, "m", {{"n", n}});
    S* const square = expect_writable<S>(v, "v", {{"n", n}});
    if (settings.step < 1) throw py::value_error("step: expected 1 or more, got " + std::to_string(settings.step));
    const ReleasedGil release;
    adam_step(value, gradient, mean, square, n, settings, available_threads());
}

template <class S>
double euclidean_norm(py::object g) {
    const auto values = expect<S>(g, "g", {{"n", any}});
    const ReleasedGil release;
    return norm(values.data(), values.shape(0), available_threads(), fresh_workspace());
}

template <class S, class F>
void in_place(py::object g, F&& f) {
    const Index n = length<S>(g, "g");
    S* const values = expect_writable<S>(g, "g", {{"n", n}});
    const ReleasedGil release;
    f(values, n);
}

}  // namespace

void register_optimizers(py::module_& m) {
    m.def(
        "sgd_step",
        [](py::object p, py::object g, py::object velocity, double learning_rate, double momentum, double weight_decay,
           bool nesterov, double gradient_scale) {
            (is_double(p) ? sgd<double> : sgd<float>)(p, g, velocity, learning_rate, momentum, weight_decay, nesterov,
                                                      gradient_scale);
        },
        py::arg("p"), py::arg("g"), py::arg("m"), py::arg("learning_rate"), py::arg("momentum"),
        py::arg("weight_decay"), py::arg("nesterov"), py::arg("gradient_scale") = 1.0,
        "Update p and the velocity m in place by one step of SGD; m may be None if momentum is 0.");
    m.def(
        "rmsprop_step",
        [](py::object p, py::object g, py::object v, double learning_rate, double alpha, double epsilon,
           double weight_decay, double gradient_scale) {
            (is_double(p) ? rmsprop<double> : rmsprop<float>)(p, g, v, learning_rate, alpha, epsilon, weight_decay,
                                                              gradient_scale);
        },
        py::arg("p"), py::arg("g"), py::arg("v"), py::arg("learning_rate"), py::arg("alpha"), py::arg("epsilon"),
        py::arg("weight_decay"), py::arg("gradient_scale") = 1.0,
        "Update p and the mean square v in place by one step of RMSprop.");
    m.def(
        "adam_step",
        [](py::object p, py::object g, py::object mean, py::object square, Index step, double learning_rate,
           double beta1, double beta2, double epsilon, double weight_decay, bool decoupled, double gradient_scale) {
            AdamSettings settings;
            settings.step = step;
            settings.learning_rate = learning_rate;
            settings.beta1 = beta1;
            settings.beta2 = beta2;
            settings.epsilon = epsilon;
            settings.weight_decay = weight_decay;
            settings.decoupled = decoupled;
            settings.gradient_scale = gradient_scale;
            (is_double(p) ? adam<double> : adam<float>)(p, g, mean, square, settings);
        },
        py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::arg("step"), py::arg("learning_rate"),
        py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("gradient_scale") = 1.0,
        "Update p and the moments m and v in place by one step of Adam, or of AdamW if decoupled.");
    m.def(
        "norm", [](py::object g) { return (is_double(g) ? euclidean_norm<double> : euclidean_norm<float>)(g); },
        py::arg("g"), "Return the Euclidean norm of g, in double precision and without overflow.");
    m.def(
        "scale",
        [](py::object g, double factor) {
            if (is_double(g))
                in_place<double>(g, [&](double* values, Index n) { scale(values, n, factor, available_threads()); });
            else
                in_place<float>(g,
                                [&](float* values, Index n) { scale(values, n, float(factor), available_threads()); });
        },
        py::arg("g"), py::arg("factor"), "Multiply g by factor, in place.");
    m.def(
        "clip_value",
        [](py::object g, double limit) {
            if (is_double(g))
                in_place<double>(g,
                                 [&](double* values, Index n) { clip_value(values, n, limit, available_threads()); });
            else
                in_place<float>(
                    g, [&](float* values, Index n) { clip_value(values, n, float(limit), available_threads()); });
        },
        py::arg("g"), py::arg("limit"), "Clip every value of g to -limit .. limit, in place.");
}

}  // namespace fastrnn::bindings

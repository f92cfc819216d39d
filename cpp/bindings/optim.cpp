#include "bindings/python/arrays.hpp"
#include "bindings/python/register.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/dense/optimizers.hpp"

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
    if (!velocity && momentum != 0) throw py::value_error("m: expected an array where momentum is not 0, got None");
    const py::gil_scoped_release release;
    sgd_step(value, gradient, velocity, n,
             {S(learning_rate), S(momentum), S(weight_decay), nesterov, S(gradient_scale)}, get_num_threads());
}

template <class S>
void rmsprop(py::object p, py::object g, py::object v, double learning_rate, double alpha, double epsilon,
             double weight_decay, double gradient_scale) {
    const Index n = length<S>(p, "p");
    S* const value = expect_writable<S>(p, "p", {{"n", n}});
    const S* const gradient = expect<S>(g, "g", {{"n", n}}).data();
    S* const square = expect_writable<S>(v, "v", {{"n", n}});
    const py::gil_scoped_release release;
    rmsprop_step(value, gradient, square, n,
                 {S(learning_rate), S(alpha), S(epsilon), S(weight_decay), S(gradient_scale)}, get_num_threads());
}

template <class S>
void adam(py::object p, py::object g, py::object m, py::object v, const AdamSettings<S>& settings) {
    const Index n = length<S>(p, "p");
    S* const value = expect_writable<S>(p, "p", {{"n", n}});
    const S* const gradient = expect<S>(g, "g", {{"n", n}}).data();
    S* const mean = expect_writable<S>(m, "m", {{"n", n}});
    S* const square = expect_writable<S>(v, "v", {{"n", n}});
    if (settings.step < 1) throw py::value_error("step: expected 1 or more, got " + std::to_string(settings.step));
    const py::gil_scoped_release release;
    adam_step(value, gradient, mean, square, n, settings, get_num_threads());
}

template <class S>
double squares(py::object g) {
    const auto values = expect<S>(g, "g", {{"n", any}});
    const py::gil_scoped_release release;
    return sum_of_squares(values.data(), values.shape(0), get_num_threads(), fresh_workspace());
}

template <class S, class F>
void in_place(py::object g, F&& f) {
    const Index n = length<S>(g, "g");
    S* const values = expect_writable<S>(g, "g", {{"n", n}});
    const py::gil_scoped_release release;
    f(values, n);
}

}  // namespace

void register_optim(py::module_& m) {
    m.def(
        "sgd_step",
        [](py::object p, py::object g, py::object velocity, double learning_rate, double momentum, double weight_decay,
           bool nesterov, double gradient_scale) {
            (is_double(p) ? sgd<double> : sgd<float>)(p, g, velocity, learning_rate, momentum, weight_decay, nesterov,
                                                      gradient_scale);
        },
        py::arg("p"), py::arg("g"), py::arg("m"), py::arg("learning_rate"), py::arg("momentum"),
        py::arg("weight_decay"), py::arg("nesterov"), py::arg("gradient_scale") = 1.0);
    m.def(
        "rmsprop_step",
        [](py::object p, py::object g, py::object v, double learning_rate, double alpha, double epsilon,
           double weight_decay, double gradient_scale) {
            (is_double(p) ? rmsprop<double> : rmsprop<float>)(p, g, v, learning_rate, alpha, epsilon, weight_decay,
                                                              gradient_scale);
        },
        py::arg("p"), py::arg("g"), py::arg("v"), py::arg("learning_rate"), py::arg("alpha"), py::arg("epsilon"),
        py::arg("weight_decay"), py::arg("gradient_scale") = 1.0);
    m.def(
        "adam_step",
        [](py::object p, py::object g, py::object mean, py::object square, Index step, double learning_rate,
           double beta1, double beta2, double epsilon, double weight_decay, bool decoupled, double gradient_scale) {
            if (is_double(p))
                adam<double>(p, g, mean, square,
                             {step, learning_rate, beta1, beta2, epsilon, weight_decay, decoupled, gradient_scale});
            else
                adam<float>(p, g, mean, square,
                            {step, learning_rate, beta1, beta2, epsilon, weight_decay, decoupled, gradient_scale});
        },
        py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::arg("step"), py::arg("learning_rate"),
        py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("gradient_scale") = 1.0);
    m.def(
        "sum_of_squares", [](py::object g) { return (is_double(g) ? squares<double> : squares<float>)(g); },
        py::arg("g"));
    m.def(
        "scale",
        [](py::object g, double factor) {
            if (is_double(g))
                in_place<double>(g, [&](double* values, Index n) { scale(values, n, factor, get_num_threads()); });
            else
                in_place<float>(g, [&](float* values, Index n) { scale(values, n, float(factor), get_num_threads()); });
        },
        py::arg("g"), py::arg("factor"));
    m.def(
        "clip_value",
        [](py::object g, double limit) {
            if (is_double(g))
                in_place<double>(g, [&](double* values, Index n) { clip_value(values, n, limit, get_num_threads()); });
            else
                in_place<float>(
                    g, [&](float* values, Index n) { clip_value(values, n, float(limit), get_num_threads()); });
        },
        py::arg("g"), py::arg("limit"));
}

}  // namespace fastrnn::bindings

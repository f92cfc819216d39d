// Sigmoid and tanh of whole arrays.
#include "kernels/vector/activations.hpp"

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"

namespace fastrnn::bindings {
namespace {

// Applies f to every element of an array of any shape, without flushing denormals.
template <class S, class F>
py::object map(py::handle x, F&& f) {
    const auto array = py::reinterpret_borrow<py::array>(x);
    auto flat = new_array<S>("y", {array.size()}, false, "use a smaller array");
    py::array y = flat.reshape(std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()));
    const S* from = static_cast<const S*>(array.data());
    S* to = flat.mutable_data();
    const Index n = array.size();
    const ReleasedGil release;
    for (Index i = 0; i < n; i += lanes<S>) store_first(to + i, f(load_first(from + i, n - i)), n - i);
    return py::object(std::move(y));
}

template <class F>
py::object dispatch(py::handle x, F&& f) {
    if (!py::isinstance<py::array>(x)) throw py::type_error("x: expected a NumPy array, got " + type_name(x));
    if (!(py::reinterpret_borrow<py::array>(x).flags() & py::array::c_style))
        throw py::value_error("x: expected a C-contiguous array");
    if (py::isinstance<py::array_t<float>>(x)) return map<float>(x, f);
    if (py::isinstance<py::array_t<double>>(x)) return map<double>(x, f);
    throw py::type_error("x: expected float32 or float64, got " +
                         std::string(py::str(py::reinterpret_borrow<py::array>(x).dtype())));
}

}  // namespace

void register_activations(py::module_& m) {
    m.def(
        "sigmoid", [](py::object x) { return dispatch(x, [](auto v) { return sigmoid(v); }); }, py::arg("x"),
        "Return the kernels' sigmoid of every element.");
    m.def(
        "tanh", [](py::object x) { return dispatch(x, [](auto v) { return tanh(v); }); }, py::arg("x"),
        "Return the kernels' hyperbolic tangent of every element.");
}

}  // namespace fastrnn::bindings

// The embedding: checks, then the forward and backward kernels.
#include "kernels/dense/embedding.hpp"

#include "bindings/python/arrays.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
py::object forward_embedding(py::object ids, py::object weight) {
    const auto w = expect<S>(weight, "weight", {{"V", any}, {"E", any}});
    const auto rows = expect_ids(ids, "ids", {{"M", any}}, w.shape(0));
    auto y = new_array<S>("y", {Index(rows.shape(0)), Index(w.shape(1))});
    embedding_forward(rows.data(), w.data(), rows.shape(0), w.shape(1), y.mutable_data());
    return py::object(std::move(y));
}

template <class S>
void backward_embedding(py::object ids, py::object dy, py::object dweight) {
    const auto table = expect<S>(dweight, "dweight", {{"V", any}, {"E", any}});
    const Index V = table.shape(0), E = table.shape(1);
    const auto rows = expect_ids(ids, "ids", {{"M", any}}, V);
    const Index M = rows.shape(0);
    const auto from = expect<S>(dy, "dy", {{"M", M}, {"E", E}});
    embedding_backward(rows.data(), from.data(), M, E, expect_writable<S>(dweight, "dweight", {{"V", V}, {"E", E}}));
}

}  // namespace

void register_embedding(py::module_& m) {
    m.def(
        "embedding_forward",
        [](py::object ids, py::object weight) {
            return is_double(weight) ? forward_embedding<double>(ids, weight) : forward_embedding<float>(ids, weight);
        },
        py::arg("ids"), py::arg("weight"), "Return the rows of weight [V, E] for ids [M].");
    m.def(
        "embedding_backward",
        [](py::object ids, py::object dy, py::object dweight) {
            is_double(dweight) ? backward_embedding<double>(ids, dy, dweight)
                               : backward_embedding<float>(ids, dy, dweight);
        },
        py::arg("ids"), py::arg("dy"), py::arg("dweight"),
        "Add each row of dy [M, E] to its id's row of dweight [V, E].");
}

}  // namespace fastrnn::bindings

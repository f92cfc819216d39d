// Arrays that a training pass keeps for its backward pass: they must not change in between.
#include <cstring>

#include "bindings/python/arrays.hpp"
#include "bindings/python/released_gil.hpp"

namespace fastrnn::bindings {
namespace {

// Can nobody write to this array? It is read-only, and so is every array whose memory it shows, down to memory that
// NumPy or a result of this module owns, or bytes. Other memory has an owner who may write to it.
bool is_frozen(py::handle array) {
    while (py::isinstance<py::array>(array)) {
        const auto* const proxy = py::detail::array_proxy(array.ptr());
        if (proxy->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) return false;
        if (!proxy->base) return true;
        array = proxy->base;
    }
    return PyBytes_Check(array.ptr()) || PyCapsule_IsValid(array.ptr(), block_name);
}

template <class S>
py::object copy_of(const py::array& array, const char* name) {
    auto copy = new_array<S>(name, {Index(array.size())});
    const void* const from = array.data();
    void* const to = copy.mutable_data();
    const std::size_t bytes = std::size_t(array.size()) * sizeof(S);
    {
        const ReleasedGil release;
        if (bytes) std::memcpy(to, from, bytes);
    }
    make_read_only(copy);
    const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
    return py::array(copy).reshape(shape);
}

py::object kept(const py::object& given, const std::string& name) {
    if (is_frozen(given)) return given;
    if (!py::isinstance<py::array>(given)) throw py::type_error(name + ": expected an array, got " + type_name(given));
    const auto array = py::reinterpret_borrow<py::array>(given);
    if (!(array.flags() & py::array::c_style)) throw py::value_error(name + ": expected a C-contiguous array");
    if (py::isinstance<py::array_t<float>>(array)) return copy_of<float>(array, name.c_str());
    if (py::isinstance<py::array_t<double>>(array)) return copy_of<double>(array, name.c_str());
    if (py::isinstance<py::array_t<std::int64_t>>(array)) return copy_of<std::int64_t>(array, name.c_str());
    return copy_of<bool>(Array<bool>(array), name.c_str());
}

}  // namespace

void register_kept(py::module_& m) {
    m.def("kept", &kept, py::arg("array"), py::arg("name"),
          "Return a C-contiguous array itself if nobody can write to it, else a read-only copy.");
}

}  // namespace fastrnn::bindings

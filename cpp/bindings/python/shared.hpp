// C++ objects that Python shares. Where an allocation of pybind11 itself fails, nothing is freed twice or used
// unchecked.
#pragma once

#include <memory>

#include "bindings/python/pybind11.hpp"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {

namespace py = pybind11;

// Returns `value` as a Python object that shares it; T derives from std::enable_shared_from_this. By reference, from
// which pybind11 finds the shared pointer: if an allocation inside py::cast fails, it frees what it was told to own,
// although the caller's pointer frees it again.
template <class T>
py::object share(const std::shared_ptr<T>& value) {
    return py::cast(*value, py::return_value_policy::reference);
}

// Binds a class whose objects come from `share`, or from pickles. pybind11 does not check what tp_alloc returns, so it
// throws here, but not through Python's own functions.
template <class T>
py::class_<T, std::shared_ptr<T>> shared_class(py::module_& m, const char* name, const char* doc = "") {
    return {m, name, doc, py::module_local(), py::custom_type_setup([](PyHeapTypeObject* heap_type) {
                heap_type->ht_type.tp_alloc = [](PyTypeObject* type, Py_ssize_t items) {
                    PyObject* const self = PyType_GenericAlloc(type, items);
                    if (self) return self;
                    PyErr_Clear();
                    throw out_of_memory(type->tp_name, double(type->tp_basicsize), fewer_tokens);
                };
                heap_type->ht_type.tp_new = [](PyTypeObject* type, PyObject*, PyObject*) {
                    try {
                        return py::detail::make_new_instance(type);
                    } catch (const std::bad_alloc& error) {
                        PyErr_SetString(PyExc_MemoryError, error.what());
                        return static_cast<PyObject*>(nullptr);
                    }
                };
            })};
}

}  // namespace fastrnn::bindings

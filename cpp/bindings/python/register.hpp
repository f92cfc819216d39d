// One register_* function per file of bindings; module.cpp is the list of them.
#pragma once

#include <pybind11/pybind11.h>

namespace fastrnn::bindings {

void register_activations(pybind11::module_& m);
void register_recurrent(pybind11::module_& m);
void register_elman(pybind11::module_& m);
void register_gru(pybind11::module_& m);
void register_lstm(pybind11::module_& m);
void register_stream(pybind11::module_& m);
void register_variants(pybind11::module_& m);
void register_linear(pybind11::module_& m);
void register_embedding(pybind11::module_& m);
void register_loss(pybind11::module_& m);
void register_optim(pybind11::module_& m);

}  // namespace fastrnn::bindings

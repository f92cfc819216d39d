// Connectionist temporal classification: the loss of unaligned labels.
#include "kernels/lattice/ctc.hpp"

#include "bindings/python/arrays.hpp"

namespace fastrnn::bindings {

void register_ctc(py::module_&) {}

}  // namespace fastrnn::bindings

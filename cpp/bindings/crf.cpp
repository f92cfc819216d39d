// The linear-chain conditional random field.
#include "kernels/lattice/crf.hpp"

#include "bindings/python/arrays.hpp"

namespace fastrnn::bindings {

void register_crf(py::module_&) {}

}  // namespace fastrnn::bindings

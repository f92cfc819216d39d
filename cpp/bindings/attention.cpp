// Attention over the steps of a sequence.
#include "bindings/python/arrays.hpp"

namespace fastrnn::bindings {

void register_attention(py::module_&) {}

}  // namespace fastrnn::bindings

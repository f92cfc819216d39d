// The precision of products, by name.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/narrow/kernels.hpp"

namespace fastrnn::bindings {

// Returns the kernels of a precision, null for that of the weights themselves. `depth`: the largest K of a product.
const NarrowKernels* expect_precision(const std::string& precision, bool is_double, std::ptrdiff_t depth);

// The same for products of a training pass.
const NarrowKernels* expect_trained_precision(const std::string& precision, bool is_double, std::ptrdiff_t depth);

// The name of what the kernels compute with.
inline const char* precision_name(const NarrowKernels& kernels) { return kernels.scaled ? "int8" : "bfloat16"; }

}  // namespace fastrnn::bindings

// Chooses the kernels of bfloat16 and int8: those of the CPU's own instructions, if told that it has them.
#include "bindings/python/precision.hpp"

#include <atomic>

#include "bindings/python/shared.hpp"
#include "kernels/matrix/narrow_weights.hpp"

#ifndef FASTRNN_NATIVE_PRODUCTS
#define FASTRNN_NATIVE_PRODUCTS "none"
namespace fastrnn {
const NarrowKernels* native_bfloat16() { return nullptr; }
const NarrowKernels* native_int8() { return nullptr; }
}  // namespace fastrnn
#endif

namespace fastrnn::bindings {
namespace {

std::atomic<bool> use_native{false};

}  // namespace

const NarrowKernels* expect_precision(const std::string& precision, bool is_double, std::ptrdiff_t depth) {
    if (precision == "float32") return nullptr;
    const bool scaled = precision == "int8";
    if (!scaled && precision != "bfloat16")
        throw py::value_error("precision: expected 'float32', 'bfloat16' or 'int8', got '" + precision + "'");
    if (is_double)
        throw py::value_error("precision: expected 'float32' for weights of float64, got '" + precision + "'");
    if (scaled && depth > most_int8_depth)
        throw py::value_error("precision: int8 sums at most " + std::to_string(most_int8_depth) + " products, got " +
                              std::to_string(depth));
    const NarrowKernels* const native = !use_native.load(std::memory_order_relaxed) ? nullptr
                                        : scaled                                    ? native_int8()
                                                                                    : native_bfloat16();
    return native ? native : scaled ? &widened_int8() : &widened_bfloat16();
}

const NarrowKernels* expect_trained_precision(const std::string& precision, bool is_double, std::ptrdiff_t depth) {
    if (precision == "int8")
        throw py::value_error("precision: expected 'float32' or 'bfloat16' for gradients, got 'int8'");
    return expect_precision(precision, is_double, depth);
}

void register_precision(py::module_& m) {
    m.attr("native_products") = FASTRNN_NATIVE_PRODUCTS;
    m.def(
        "use_native_products",
        [](bool use) {
            if (use && !native_int8())
                throw py::value_error(
                    "use: this module has no products of bfloat16 and int8 by the CPU's instructions");
            use_native.store(use, std::memory_order_relaxed);
        },
        py::arg("use"),
        "Pack weights of bfloat16 and int8 for the CPU's own instructions from now on; it must have them.");
}

}  // namespace fastrnn::bindings

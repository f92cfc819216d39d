// Which instruction sets this CPU and operating system can run, for Python: a module compiled for the baseline.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <string>
#include <vector>

#include "cpu/instruction_sets.hpp"

namespace {

std::map<std::string, bool> features() {
    std::map<std::string, bool> found;
    fastrnn::for_features([&](const fastrnn::Feature& feature) { found[feature.name] = feature.present; });
    return found;
}

std::vector<std::string> supported() {
    const fastrnn::InstructionSets sets = fastrnn::supported_instruction_sets();
    return {sets.names, sets.names + sets.count};
}

// Whether the module for avx512 has the products of avx512_bf16: CMakeLists.txt asks the compiler.
#if defined(FASTRNN_NATIVE_PRODUCTS)
constexpr bool native_products = true;
#else
constexpr bool native_products = false;
#endif

}  // namespace

PYBIND11_MODULE(_cpu, m, pybind11::mod_gil_not_used()) {
    m.doc() = "The instruction sets that this CPU and operating system can run.";
    m.attr("native_products") = native_products;
    m.def("supported", &supported,
          "Return the names of the supported instruction sets, best first; the last is always 'baseline'.");
    m.def(
        "features", &features,
        "Return the CPU features and register states that decide it, name -> present; empty if the CPU is not x86-64.");
}

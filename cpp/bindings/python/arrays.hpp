// Checks arrays from Python and creates arrays for Python. Messages name the argument, what was expected and what was
// passed: "x: expected [T, N, 128], got [50, 32, 64]".
#pragma once

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "bindings/python/pybind11.hpp"
#include "bindings/python/result_memory.hpp"
#include "bindings/python/tracemalloc_hook.h"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {

namespace py = pybind11;

// One axis: its letter, and its size or `any`.
struct Axis {
    const char* letter;
    Index size;
};
inline constexpr Index any = -1;

using Shape = std::initializer_list<Axis>;

inline std::string describe(Shape shape) {
    std::string text = "[";
    for (const Axis& axis : shape) {
        if (text.size() > 1) text += ", ";
        text += axis.size == any ? axis.letter : std::to_string(axis.size);
    }
    return text + "]";
}

inline std::string describe(const py::array& array) {
    std::string text = "[";
    for (py::ssize_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
    return text + "]";
}

inline std::string type_name(py::handle value) { return py::str(py::type::of(value).attr("__name__")); }

template <class S>
const char* dtype_name() {
    if constexpr (std::is_same_v<S, float>) return "float32";
    if constexpr (std::is_same_v<S, double>) return "float64";
    if constexpr (std::is_same_v<S, std::int64_t>) return "int64";
    if constexpr (std::is_same_v<S, std::uint16_t>) return "uint16";
    if constexpr (std::is_same_v<S, bool>) return "bool";
}

template <class S>
using Array = py::array_t<S, py::array::c_style>;

// Returns `value` if it is a C-contiguous array of S with the given shape; nothing is converted.
template <class S>
Array<S> expect(py::handle value, const char* name, Shape shape) {
    const std::string argument = name;
    if (!py::isinstance<py::array>(value))
        throw py::type_error(argument + ": expected a NumPy array of " + dtype_name<S>() + ", got " + type_name(value));
    const auto array = py::reinterpret_borrow<py::array>(value);
    if (!py::isinstance<py::array_t<S>>(value))
        throw py::type_error(argument + ": expected " + dtype_name<S>() + ", got " +
                             std::string(py::str(array.dtype())));
    bool fits = array.ndim() == py::ssize_t(shape.size());
    py::ssize_t i = 0;
    for (const Axis& axis : shape) {
        fits = fits && (axis.size == any || array.shape(i) == axis.size);
        ++i;
    }
    if (!fits) throw py::value_error(argument + ": expected " + describe(shape) + ", got " + describe(array));
    if (!(array.flags() & py::array::c_style)) throw py::value_error(argument + ": expected a C-contiguous array");
    return py::reinterpret_borrow<Array<S>>(value);
}

// Returns the data of an array, or null for None.
template <class S>
const S* optional_data(py::handle value, const char* name, Shape shape) {
    return value.is_none() ? nullptr : expect<S>(value, name, shape).data();
}

// Returns the data of a writable array.
template <class S>
S* expect_writable(py::handle value, const char* name, Shape shape) {
    auto array = expect<S>(value, name, shape);
    if (!array.writeable())
        throw py::value_error(std::string(name) + ": expected a writable array, got a read-only one");
    return array.mutable_data();
}
template <class S>
S* optional_writable(py::handle value, const char* name, Shape shape) {
    return value.is_none() ? nullptr : expect_writable<S>(value, name, shape);
}

// Is this a float64 array? Chooses the instantiation; `expect` rejects what is neither float32 nor float64.
inline bool is_double(py::handle value) { return py::isinstance<py::array_t<double>>(value); }

// Results of at least this many bytes get a block aligned to a cache line: NumPy aligns to 16 bytes, so that every
// vector of a kernel would cross cache lines.
inline constexpr double min_block_bytes = 4096;

// The name of the capsules that own the blocks of results.
inline constexpr const char* block_name = "fastrnn.block";

template <class S>
Array<S> array_of_block(const char* name, const char* advice, std::vector<py::ssize_t> shape, Index count) {
    struct Owner {
        OwnedBlock block;
        Owner(std::size_t bytes, const char* what, const char* less) : block(bytes, what, less) {
            fastrnn_trace(block.get(), bytes);
        }
        ~Owner() { fastrnn_untrace(block.get()); }
    };
    auto owner = std::make_unique<Owner>(std::size_t(count) * sizeof(S), name, advice);
    const py::capsule base(owner.get(), block_name, [](void* p) { delete static_cast<Owner*>(p); });
    const auto* const memory = static_cast<S*>(owner.release()->block.get());
    return Array<S>(std::move(shape), memory, base);
}

// References to what a call reads without the GIL: other threads may meanwhile change the containers it came in.
using Held = std::vector<py::object>;

// Returns a new array. OutOfMemory (MemoryError) names it, its bytes, and what to reduce.
template <class S>
Array<S> new_array(const char* name, std::initializer_list<Index> shape, bool zero = false,
                   const char* advice = fewer_tokens) {
    double bytes = sizeof(S);
    Index count = 1;
    for (Index size : shape) {
        bytes *= double(size);
        count *= bytes < 9e18 ? size : 0;
    }
    if (bytes >= 9e18) throw out_of_memory(name, bytes, advice);
    try {
        Array<S> array = bytes < min_block_bytes
                             ? Array<S>(std::vector<py::ssize_t>(shape))
                             : array_of_block<S>(name, advice, std::vector<py::ssize_t>(shape), count);
        if (zero) std::fill(array.mutable_data(), array.mutable_data() + count, S(0));
        return array;
    } catch (const std::bad_alloc&) {
        throw out_of_memory(name, bytes, advice);
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_MemoryError)) throw;
        throw out_of_memory(name, bytes, advice);
    }
}

// Clears NumPy's flag that an array may be written to.
template <class Any>
const Any& make_read_only(const Any& array) {
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
}

// Returns a read-only copy of an array of integers or bools; anything else as it is. Kernels use them as indices
// without the GIL, while other threads may write to the original: so they are copied, then checked, then used.
template <class S>
py::object private_copy(py::object value, const char* name) {
    if (!py::isinstance<py::array_t<S>>(value)) return value;
    const auto from = py::reinterpret_borrow<Array<S>>(value);
    if (!(from.flags() & py::array::c_style)) return value;
    auto to = array_of_block<S>(name, fewer_tokens, {from.shape(), from.shape() + from.ndim()}, from.size());
    if constexpr (std::is_same_v<S, bool>) {
        const auto* const bytes = reinterpret_cast<const unsigned char*>(from.data());
        std::transform(bytes, bytes + from.size(), to.mutable_data(), [](unsigned char byte) { return byte != 0; });
    } else {
        std::copy(from.data(), from.data() + from.size(), to.mutable_data());
    }
    return make_read_only(to);
}

// Throws a ValueError that names the first id that is neither -1 (none) nor in 0 .. limit-1.
inline void check_ids(const std::int64_t* ids, Index count, Index limit, const char* name) {
    for (Index i = 0; i < count; ++i)
        if (ids[i] < -1 || ids[i] >= limit)
            throw py::value_error(std::string(name) + ": expected ids in 0 .. " + std::to_string(limit - 1) +
                                  " (-1: none), got " + std::to_string(ids[i]) + " at position " + std::to_string(i));
}

// Returns a private copy of ids, checked: -1 (none) or in 0 .. limit-1.
inline Array<std::int64_t> expect_ids(py::object value, const char* name, Shape shape, Index limit) {
    auto ids = expect<std::int64_t>(private_copy<std::int64_t>(std::move(value), name), name, shape);
    check_ids(ids.data(), ids.size(), limit, name);
    return ids;
}

}  // namespace fastrnn::bindings

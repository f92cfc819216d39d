// Packed weights, as a product takes them.
#pragma once

#include <type_traits>

#include "kernels/narrow/kernels.hpp"
#include "kernels/vector/simd.hpp"

namespace fastrnn {

// Panels of scalars, or of words of fewer bits: then the depth of every panel is counted in words.
template <class S>
struct Panels {
    const S* scalars = nullptr;                 // or words, whose bits lie in the memory of scalars
    const NarrowKernels* narrow = nullptr;      // of words; null: scalars
    const float* scales = nullptr;              // int8: of each column, padded, in the order of the panels
    const std::int32_t* corrections = nullptr;  // int8: what each column's sums start with
    const std::uint32_t* rows = nullptr;        // bfloat16: the words of the matrix in rows, for packing its transpose

    Panels() = default;
    Panels(const S* given) : scalars(given) {}

    const S* operator+(Index offset) const { return scalars + offset; }
    explicit operator bool() const { return scalars != nullptr; }
    const std::uint32_t* words() const { return reinterpret_cast<const std::uint32_t*>(scalars); }
};

// The same where S comes from another argument, so that panels of scalars may be given by their address.
template <class S>
using PanelsOf = std::common_type_t<Panels<S>>;

// A thread's memory for rows of activations that a product narrows.
struct NarrowMemory {
    unsigned char* at = nullptr;
    Index bytes = 0;

    NarrowMemory of(int worker) const { return {at ? at + worker * bytes : nullptr, bytes}; }
};

inline constexpr Index narrowed_at_once = 512;  // most rows that are

inline Index words_of(const NarrowKernels& kernels, Index K) { return (K + kernels.group - 1) / kernels.group; }

// Bytes from a narrowed row to the next: not a power of two, with which rows would share cache sets.
inline Index narrow_stride(const NarrowKernels& kernels, Index K) {
    return (words_of(kernels, K) * kernels.word_bytes + 63) / 64 * 64 + 64;
}

// Bytes for `rows` rows and their scales; a product takes as many rows at once as fit.
inline Index narrow_bytes(const NarrowKernels& kernels, Index K, Index rows) {
    return rows * (narrow_stride(kernels, K) + Index(sizeof(float))) + 64;
}

}  // namespace fastrnn

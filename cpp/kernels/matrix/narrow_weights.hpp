// Weights -> panels of words of bfloat16 or int8.
#pragma once

#include "kernels/matrix/packing.hpp"
#include "kernels/matrix/panels.hpp"

namespace fastrnn {

inline constexpr Index most_int8_depth = Index(1) << 16;  // K: 255 * 127 * K fits an int32

// A matrix [rows, K] as words, [rows][words]; of int8 with the scale of each row and what its sums start with.
struct WordMatrix {
    Index rows, K, words;
    std::uint32_t* data;
    float* scales;
    std::int32_t* corrections;
};

// Rounds a matrix; `row`: room for a row in the form of the kernels.
void narrow_matrix(const NarrowKernels& kernels, const float* w, const WordMatrix& to, unsigned char* row);

// The matrix [rows, K] that panels were packed from, as it was rounded.
void widen_matrix(const Panels<float>& panels, Index rows, Index K, float* to);

// Takes memory for a matrix and rounds it.
template <class Take>
WordMatrix take_words(const NarrowKernels& kernels, const float* w, Index rows, Index K, Take&& take) {
    WordMatrix to{rows, K, words_of(kernels, K), nullptr, nullptr, nullptr};
    to.data = reinterpret_cast<std::uint32_t*>(take(rows * to.words));
    if (kernels.scaled) {
        to.scales = take(rows);
        to.corrections = reinterpret_cast<std::int32_t*>(take(rows));
    }
    narrow_matrix(kernels, w, to,
                  reinterpret_cast<unsigned char*>(take(narrow_stride(kernels, K) / Index(sizeof(float)))));
    return to;
}

// Scales and corrections in the order of panels, `row(i)` being the row of column i, or -1 after the last.
template <class Take, class Row>
void pack_scales(const WordMatrix& from, Index columns, Take&& take, Row&& row, Panels<float>& panels) {
    if (!from.scales) return;
    float* const scales = take(columns);
    auto* const corrections = reinterpret_cast<std::int32_t*>(take(columns));
    for (Index i = 0; i < columns; ++i) {
        const Index r = row(i);
        scales[i] = r < 0 ? 0.0f : from.scales[r];
        corrections[i] = r < 0 ? 0 : from.corrections[r];
    }
    panels.scales = scales;
    panels.corrections = corrections;
}

// w [gates * H, K] -> gate panels; with kernels, of words.
template <class S, class Take>
Panels<S> take_gate_panels(const NarrowKernels* kernels, const S* w, Index gates, Index H, Index K, Take&& take) {
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            const WordMatrix words = take_words(*kernels, w, gates * H, K, take);
            Panels<float> panels;
            float* const to = take(gate_panels_size<float>(words.words, H, gates));
            pack_gates(reinterpret_cast<const float*>(words.data), gates, H, words.words, to);
            panels.scalars = to;
            panels.narrow = kernels;
            panels.rows = words.data;
            pack_scales(
                words, gate_panels_size<float>(1, H, gates), take,
                [&](Index i) {
                    const Index n = lanes<float>, unit = i / (gates * n) * n + i % n;
                    return unit < H ? i / n % gates * H + unit : Index(-1);
                },
                panels);
            return panels;
        }
    }
    S* const panels = take(gate_panels_size<S>(K, H, gates));
    pack_gates(w, gates, H, K, panels);
    return panels;
}

// w [columns, K] -> plain panels of x W^T; with kernels, of words.
template <class S, class Take>
Panels<S> take_plain_panels(const NarrowKernels* kernels, const S* w, Index columns, Index K, Take&& take) {
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            const WordMatrix words = take_words(*kernels, w, columns, K, take);
            Panels<float> panels;
            float* const to = take(panels_size<float>(words.words, columns));
            pack_transposed(reinterpret_cast<const float*>(words.data), columns, words.words, to);
            panels.scalars = to;
            panels.narrow = kernels;
            panels.rows = words.data;
            pack_scales(
                words, round_up_to_lanes<float>(columns), take, [&](Index i) { return i < columns ? i : Index(-1); },
                panels);
            return panels;
        }
    }
    S* const panels = take(panels_size<S>(K, columns));
    pack_transposed(w, columns, K, panels);
    return panels;
}

// Words of bfloat16 in rows, [.., K] -> plain panels of dy W, of depth `depth`, whose row i is row_of(i) of W.
template <class Row>
void pack_word_rows(const std::uint32_t* from, Index K, Index depth, Row&& row_of, float* panels) {
    const Index stride = (K + 1) / 2 * 2, words = (depth + 1) / 2;
    const auto* const halves = reinterpret_cast<const std::uint16_t*>(from);
    auto* const to = reinterpret_cast<std::uint32_t*>(panels);
    for_panels<float>(0, K, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, width = std::min(wide, K - column);
        for (Index k = 0; k < words; ++k) {
            const std::uint16_t* const first = halves + row_of(2 * k) * stride + column;
            const bool pair = 2 * k + 1 < depth;
            const std::uint16_t* const second = pair ? halves + row_of(2 * k + 1) * stride + column : first;
            const std::uint32_t keep = pair ? 0xffff0000 : 0;
            std::uint32_t* const strip = to + column * words + k * wide;
            for (Index j = 0; j < width; ++j) strip[j] = first[j] | ((std::uint32_t(second[j]) << 16) & keep);
            for (Index j = width; j < wide; ++j) strip[j] = 0;
        }
    });
}

// w [rows, K] -> plain panels of dy W, of depth `rows`; with kernels, of words.
template <class S, class Take>
Panels<S> take_transposed_panels(const NarrowKernels* kernels, const S* w, Index rows, Index K, Take&& take) {
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            Panels<float> panels;
            const WordMatrix words = take_words(*kernels, w, rows, K, take);
            float* const to = take(panels_size<float>(words_of(*kernels, rows), K));
            pack_word_rows(words.data, K, rows, [](Index i) { return i; }, to);
            panels.scalars = to;
            panels.narrow = kernels;
            return panels;
        }
    }
    S* const panels = take(panels_size<S>(rows, K));
    pack_rows(w, rows, K, 0, rows, panels);
    return panels;
}

// Scalars that a `take` of either plain panels of a block of weights [rows, K] may ask for, in cache lines.
template <class S>
Index block_panels_size(const NarrowKernels* kernels, Index rows, Index K) {
    constexpr Index line = 64 / sizeof(S);
    if (!kernels) return std::max(panels_size<S>(K, rows), panels_size<S>(rows, K)) + line;
    const Index words = words_of(*kernels, K), scales = kernels->scaled ? 2 * rows + 2 * round_up_to_lanes<S>(rows) : 0;
    const Index panels = std::max(panels_size<S>(words, rows), panels_size<S>(words_of(*kernels, rows), K));
    return rows * words + panels + scales + narrow_stride(*kernels, K) / Index(sizeof(S)) + 8 * line;
}

// Takes pieces of memory one after the other, each from the beginning of a cache line on.
template <class S>
struct PiecesOf {
    S* at;
    S* operator()(Index count) {
        S* const piece = at;
        constexpr Index line = 64 / sizeof(S);
        at += (count + line - 1) / line * line;
        return piece;
    }
};

// Takes the panels that backward needs from the snapshot that forward packed.
template <class Take, class Row>
Panels<float> take_row_panels(const Panels<float>& forward, Index K, Index depth, Take&& take, Row&& row_of) {
    Panels<float> panels;
    float* const to = take(panels_size<float>(words_of(*forward.narrow, depth), K));
    pack_word_rows(forward.rows, K, depth, row_of, to);
    panels.scalars = to;
    panels.narrow = forward.narrow;
    return panels;
}

}  // namespace fastrnn

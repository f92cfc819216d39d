// Weights -> panels of words of bfloat16 or int8.
#pragma once

#include <algorithm>

#include "kernels/matrix/packing.hpp"
#include "kernels/matrix/panels.hpp"

namespace fastrnn {

inline constexpr Index most_int8_depth = Index(1) << 16;  // K: 255 * 127 * K fits an int32

// A matrix [rows, K] as words: of bfloat16 all of it, which backward packs again; of int8, which has no backward, some
// rows at a time, with the scale of each row and what its sums start with.
class WordRows {
   public:
    template <class Take>
    WordRows(const NarrowKernels& kernels, const float* w, Index rows, Index K, Take&& take)
        : kernels_(kernels), w_(w), K_(K), words_(words_of(kernels, K)) {
        data_ = take((kernels.scaled ? std::min(rows, lanes<float>) : rows) * words_);
        if (kernels.scaled) {
            scales_ = take(rows);
            corrections_ = reinterpret_cast<std::int32_t*>(take(rows));
        } else {
            float* const row = take(narrow_stride(kernels, K) / Index(sizeof(float)));
            for (Index r = 0; r < rows; ++r) round(r, reinterpret_cast<unsigned char*>(row));
        }
    }

    Index words() const { return words_; }
    // The words of `count` rows, at most one vector of them, until the next call.
    const float* some(Index row, Index count) {
        if (!kernels_.scaled) return data_ + row * words_;
        for (Index r = 0; r < count; ++r) quantise(row + r, data_ + r * words_);
        return data_;
    }
    // Completes panels of `columns`, padded; row(i) is the row of column i, or -1 after the last.
    template <class Take, class Row>
    Panels<float> panels(const float* packed, Index columns, Take&& take, Row&& row) const {
        Panels<float> panels{packed};
        panels.narrow = &kernels_;
        if (!kernels_.scaled) {
            panels.rows = reinterpret_cast<const std::uint32_t*>(data_);
            return panels;
        }
        float* const scales = take(columns);
        auto* const corrections = reinterpret_cast<std::int32_t*>(take(columns));
        for (Index i = 0; i < columns; ++i) {
            const Index r = row(i);
            scales[i] = r < 0 ? 0.0f : scales_[r];
            corrections[i] = r < 0 ? 0 : corrections_[r];
        }
        panels.scales = scales;
        panels.corrections = corrections;
        return panels;
    }
    const std::uint32_t* rows() const { return reinterpret_cast<const std::uint32_t*>(data_); }

   private:
    // narrow_weights.cpp
    void round(Index row, unsigned char* scratch);
    void quantise(Index row, float* words);

    const NarrowKernels& kernels_;
    const float* w_;
    Index K_, words_;
    float *data_, *scales_ = nullptr;
    std::int32_t* corrections_ = nullptr;
};

// The matrix [rows, K] that plain panels were packed from, as it was rounded.
void widen_plain_panels(const Panels<float>& panels, Index rows, Index K, float* to);

// w [gates * H, K] -> gate panels; with kernels, of words.
template <class S, class Take>
Panels<S> take_gate_panels(const NarrowKernels* kernels, const S* w, Index gates, Index H, Index K, Take&& take) {
    constexpr Index n = lanes<S>;
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            WordRows rows(*kernels, w, gates * H, K, take);
            float* const to = take(gate_panels_size<float>(rows.words(), H, gates));
            for (Index unit = 0; unit < H; unit += n)
                for (Index gate = 0; gate < gates; ++gate) {
                    const GateVector<float> at(unit, gate, gates, rows.words());
                    pack_transposed_vector(rows.some(gate * H + unit, std::min(n, H - unit)), rows.words(), H - unit,
                                           to + at.offset, at.stride);
                }
            return rows.panels(to, gate_panels_size<float>(1, H, gates), take, [&](Index i) {
                const Index unit = i / (gates * n) * n + i % n;
                return unit < H ? i / n % gates * H + unit : Index(-1);
            });
        }
    }
    S* const panels = take(gate_panels_size<S>(K, H, gates));
    pack_gates(w, gates, H, K, panels);
    return panels;
}

// w [columns, K] -> plain panels of x W^T; with kernels, of words.
template <class S, class Take>
Panels<S> take_plain_panels(const NarrowKernels* kernels, const S* w, Index columns, Index K, Take&& take) {
    constexpr Index n = lanes<S>;
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            WordRows rows(*kernels, w, columns, K, take);
            float* const to = take(panels_size<float>(rows.words(), columns));
            for_panels<float>(0, columns, [&](auto vectors, Index column) {
                for (Index v = 0; v < vectors; ++v) {
                    const Index first = column + v * n, left = columns - first;
                    pack_transposed_vector(rows.some(first, std::min(n, left)), rows.words(), left,
                                           to + column * rows.words() + v * n, vectors * n);
                }
            });
            return rows.panels(to, round_up_to_lanes<float>(columns), take,
                               [&](Index i) { return i < columns ? i : Index(-1); });
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

struct SameRow {
    Index operator()(Index i) const { return i; }
};

// Takes the panels of dy W from the words in rows that other panels were packed from.
template <class Take, class Row = SameRow>
Panels<float> take_row_panels(const Panels<float>& packed, Index K, Index depth, Take&& take, Row row_of = {}) {
    float* const to = take(panels_size<float>(words_of(*packed.narrow, depth), K));
    pack_word_rows(packed.rows, K, depth, row_of, to);
    Panels<float> panels{to};
    panels.narrow = packed.narrow;
    return panels;
}

// w [rows, K] -> plain panels of dy W, of depth `rows`; with kernels, of words.
template <class S, class Take>
Panels<S> take_transposed_panels(const NarrowKernels* kernels, const S* w, Index rows, Index K, Take&& take) {
    if constexpr (std::is_same_v<S, float>) {
        if (kernels) {
            Panels<float> words;
            words.narrow = kernels;
            words.rows = WordRows(*kernels, w, rows, K, take).rows();
            return take_row_panels(words, K, rows, take);
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

}  // namespace fastrnn

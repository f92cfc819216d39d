// Gates on the tape: scalars, or 16 bits each where products are of bfloat16.
//
// A sigmoid or tanh is kept to the nearest multiple of 2^-14, not in bfloat16: numbers of bfloat16 just below 1 are
// 2^-8 apart, and 1 - z or f (1 - f) of such a gate would be far off. W_hn h' + b_hn of a GRU has no bound and is
// bfloat16.
#pragma once

#include "kernels/recurrent/backward.hpp"
#include "kernels/recurrent/forward.hpp"
#include "kernels/vector/halves.hpp"

namespace fastrnn {

// Keeps one vector of units of the gates `First` .. if anything is kept for backward. The first `Bounded` gates of the
// cell are sigmoids and tanhs.
template <int Bounded, int First = 0, class S, std::size_t Count>
FASTRNN_INLINE void keep_gates(const StepRows<S>& rows, Index row, Index H, Index unit, const Vec<S> (&gates)[Count]) {
    const Index left = H - unit;
    if (S* const tape = rows.gates[row]) {
        FASTRNN_UNROLL
        for (int k = 0; k < int(Count); ++k) store_first(tape + (First + k) * H + unit, gates[k], left);
    } else if constexpr (std::is_same_v<S, float>) {
        std::uint16_t* const halves = rows.gates16[row];
        if (!halves) return;
        FASTRNN_UNROLL
        for (int k = 0; k < int(Count); ++k) {
            std::uint16_t* const to = halves + (First + k) * H + unit;
            First + k < Bounded ? store_bounded(to, gates[k], left) : store_bfloat16(to, gates[k], left);
        }
    }
}

// Reads what `keep_gates` kept.
template <int Bounded, int First = 0, class S, std::size_t Count>
FASTRNN_INLINE void read_gates(const BackwardRows<S>& rows, Index row, Index H, Index unit, Vec<S> (&gates)[Count]) {
    const Index left = H - unit;
    const S* const tape = rows.gates[row];
    if constexpr (std::is_same_v<S, float>) {
        if (!tape) {
            FASTRNN_UNROLL
            for (int k = 0; k < int(Count); ++k) {
                const std::uint16_t* const from = rows.gates16[row] + (First + k) * H + unit;
                gates[k] = First + k < Bounded ? load_bounded(from, left) : load_bfloat16(from, left);
            }
            return;
        }
    }
    FASTRNN_UNROLL
    for (int k = 0; k < int(Count); ++k) gates[k] = load_first(tape + (First + k) * H + unit, left);
}

// [tokens, gates, H] of 16 bits as floats.
inline void widen_gates(const std::uint16_t* from, Index tokens, Index gates, Index bounded, Index H, float* to) {
    for (Index k = 0; k < tokens * gates; ++k, from += H, to += H)
        for (Index unit = 0; unit < H; unit += lanes<float>) {
            const Index left = H - unit;
            const bool is_bounded = k % gates < bounded;
            store_first(to + unit, is_bounded ? load_bounded(from + unit, left) : load_bfloat16(from + unit, left),
                        left);
        }
}

}  // namespace fastrnn

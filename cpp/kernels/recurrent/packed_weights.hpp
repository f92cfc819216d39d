// The weights of one layer and direction of a cell without options, as they come, and their packing for the cell.
#pragma once

#include "kernels/matrix/narrow_weights.hpp"
#include "kernels/recurrent/elman.hpp"
#include "kernels/recurrent/gru.hpp"
#include "kernels/recurrent/lstm.hpp"
#include "kernels/recurrent/slstm.hpp"

namespace fastrnn {

// weight_ih [G H, D], weight_hh [G H, H], biases [G H] or null.
template <class S>
struct LayerWeights {
    Index D = 0, H = 0;
    const S *ih = nullptr, *hh = nullptr, *bias_ih = nullptr, *bias_hh = nullptr;
    const NarrowKernels* narrow = nullptr;  // null: weights are packed as they are

    S bias(Index i) const { return (bias_ih ? bias_ih[i] : S(0)) + (bias_hh ? bias_hh[i] : S(0)); }

    CellSizes sizes(Index gates) const {
        CellSizes sizes;
        sizes.D = D;
        sizes.H = sizes.P = H;
        sizes.gates = gates;
        sizes.recurrent_weights = gates * H * H;
        sizes.narrow = narrow;
        return sizes;
    }
};

// Each `pack_weights` fills the cell's weights and returns its sizes; take(count) provides memory that outlives it.

// A cell all of whose gates lie interleaved in panels; `carried`: arrays of H in the state besides h.
template <class S, class Cell, class Take>
CellSizes pack_interleaved(Cell& cell, const LayerWeights<S>& w, Index carried, Take&& take) {
    constexpr Index G = Cell::gates;
    const Index D = w.D, H = w.H;
    CellSizes sizes = w.sizes(G);
    sizes.carried = carried * H;
    sizes.gx_width = gate_panels_size<S>(1, H, G);
    sizes.tape_gates = G;
    sizes.dgates_width = G * H;
    S* const bias = take(gate_panels_size<S>(1, H, G));
    pack_gate_bias([&](Index i) { return w.bias(i); }, G, H, bias);
    auto& weights = cell.weights;
    weights.D = D, weights.H = H;
    weights.w_ih = take_gate_panels(w.narrow, w.ih, G, H, D, take);
    weights.w_hh = take_gate_panels(w.narrow, w.hh, G, H, H, take);
    weights.bias = bias;
    return sizes;
}

template <class S, class Take>
CellSizes pack_weights(Lstm<S>& cell, const LayerWeights<S>& w, Take&& take) {
    CellSizes sizes = pack_interleaved(cell, w, 1, take);
    sizes.bounded_gates = w.narrow ? Lstm<S>::bounded_gates : 0;
    return sizes;
}

template <class S, class Take>
CellSizes pack_weights(Slstm<S>& cell, const LayerWeights<S>& w, Take&& take) {
    return pack_interleaved(cell, w, 3, take);
}

template <class S, class Cell, class Take>
CellSizes pack_gru(Cell& cell, const LayerWeights<S>& w, Take&& take) {
    constexpr bool reset_after = std::is_same_v<Cell, GruResetAfter<S>>;
    constexpr Index panel_gates = reset_after ? 3 : 2;  // otherwise the candidate has its own panels
    const Index D = w.D, H = w.H, padded = round_up_to_lanes<S>(H);
    CellSizes sizes = w.sizes(3);
    sizes.gx_width = gate_panels_size<S>(1, H, 3);
    sizes.tape_gates = reset_after ? 4 : 3;
    sizes.bounded_gates = w.narrow ? Cell::bounded_gates : 0;
    sizes.dgates_width = (reset_after ? 4 : 3) * H;
    sizes.scratch = sizes.kept = reset_after ? 0 : H;
    sizes.backward_scratch = reset_after ? 0 : padded;
    S* const bias = take(gate_panels_size<S>(1, H, panel_gates));
    S* const bias_n = take(padded);
    const auto input_bias = [&](Index i) { return i < 2 * H ? w.bias(i) : w.bias_ih ? w.bias_ih[i] : S(0); };
    pack_gate_bias(input_bias, panel_gates, H, bias);
    auto& weights = cell.weights;
    weights.D = D, weights.H = H;
    weights.w_ih = take_gate_panels(w.narrow, w.ih, panel_gates, H, D, take);
    weights.w_hh = take_gate_panels(w.narrow, w.hh, panel_gates, H, H, take);
    weights.bias = bias, weights.bias_n = bias_n;
    for (Index i = 0; i < padded; ++i)
        bias_n[i] = i >= H ? S(0) : !reset_after ? w.bias(2 * H + i) : w.bias_hh ? w.bias_hh[2 * H + i] : S(0);
    if constexpr (!reset_after) {
        weights.w_in = take_plain_panels(w.narrow, w.ih + 2 * H * D, H, D, take);
        weights.w_hn = take_plain_panels(w.narrow, w.hh + 2 * H * H, H, H, take);
    }
    return sizes;
}

template <class S, class Take>
CellSizes pack_weights(GruResetAfter<S>& cell, const LayerWeights<S>& w, Take&& take) {
    return pack_gru(cell, w, take);
}

template <class S, class Take>
CellSizes pack_weights(GruResetBefore<S>& cell, const LayerWeights<S>& w, Take&& take) {
    return pack_gru(cell, w, take);
}

// `cell.rectified` is the caller's to set.
template <class S, class Take>
CellSizes pack_weights(Elman<S>& cell, const LayerWeights<S>& w, Take&& take) {
    const Index D = w.D, H = w.H, padded = round_up_to_lanes<S>(H);
    CellSizes sizes = w.sizes(1);
    sizes.gx_width = padded;
    sizes.dgates_width = H;
    S* const bias = take(padded);
    for (Index i = 0; i < padded; ++i) bias[i] = i < H ? w.bias(i) : S(0);
    auto& weights = cell.weights;
    weights.D = D, weights.H = H;
    weights.w_ih = take_plain_panels(w.narrow, w.ih, H, D, take);
    weights.w_hh = take_plain_panels(w.narrow, w.hh, H, H, take);
    weights.bias = bias;
    return sizes;
}

}  // namespace fastrnn

// Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; PyTorch's form):
//
//   i = sigmoid(W_ii x + b_ii + W_hi h' + b_hi)        h', c': the state before this step
//   f = sigmoid(W_if x + b_if + W_hf h' + b_hf)
//   g =    tanh(W_ig x + b_ig + W_hg h' + b_hg)
//   o = sigmoid(W_io x + b_io + W_ho h' + b_ho)
//   c = f * c' + i * g
//   h = o * tanh(c)
//
// weight_ih [4H, D], weight_hh [4H, H], biases [4H], gates in the order i, f, g, o. The tape keeps gates [T, N, 4, H],
// c [T, N, H] and the output y = h [T, N, H]: 6 H scalars per step and sequence. The caller owns all arrays; outputs
// must not overlap inputs.
#pragma once

#include "kernels/matrix/gate_tiles.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/kept_gates.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

template <class S>
struct LstmWeights {
    Index D, H;
    Panels<S> w_ih, w_hh;            // gate panels
    const S* bias;                   // b_ih + b_hh, [unit][4][lanes]
    Panels<S> w_ih_rows, w_hh_rows;  // plain panels of [4H, D] and [4H, H]; used by BPTT only
};

template <class S>
struct Lstm {
    static constexpr int gates = 4, bounded_gates = 4;
    static constexpr Index grain = lanes<S>;
    static constexpr bool has_options = false, meets = false;
    LstmWeights<S> weights;

    void project(const S* const* x, S* const* gx, Range tokens, Range units, const NarrowMemory& memory) const {
        Product<S> product{x, gx, weights.w_ih, weights.bias, weights.D, 0};
        product.memory = memory;
        multiply_gate_panels<gates>(product, tokens, units);
    }
    void gather(Index id, S* gx, Range units) const {
        gather_gate_panels(id, gx, weights.w_ih, weights.bias, gates, weights.D, units);
    }

    void step(const StepRows<S>& rows) const {
        for_gate_tiles<gates>(
            rows.h_prev, {rows.begin, rows.end}, rows.units, weights.w_hh, weights.H, rows.memory,
            [&](auto& tile, Index first, Index unit, int gate) {
                tile.start(rows.gx + first, unit * gates + gate * lanes<S>);
            },
            [&](S* sums, Index stride, Index height, Index first, Index unit) {
                epilogue(sums, stride, height, rows, first, unit);
            });
    }

    // The pointwise part of one vector of units. The first loop needs only the sums, so that many rows are computed in
    // parallel.
    EIGEN_DONT_INLINE void epilogue(S* sums, Index stride, Index height, const StepRows<S>& rows, Index first,
                                    Index unit) const {
        const Index H = weights.H, width = H - unit;
        for (Index r = 0; r < height; ++r) {
            S* const sum = sums + r * stride;
            store(sum, sigmoid(load(sum)));
            store(sum + lanes<S>, sigmoid(load(sum + lanes<S>)));
            store(sum + 2 * lanes<S>, tanh(load(sum + 2 * lanes<S>)));
            store(sum + 3 * lanes<S>, sigmoid(load(sum + 3 * lanes<S>)));
        }
        for (Index r = 0; r < height; ++r) {
            const S* const sum = sums + r * stride;
            const Index row = first + r;
            const Vec<S> i = load(sum), f = load(sum + lanes<S>);
            const Vec<S> g = load(sum + 2 * lanes<S>), o = load(sum + 3 * lanes<S>);
            const Vec<S> c = fma(f, load_first(rows.c_prev[row] + unit, width), i * g);
            store_first(rows.c[row] + unit, c, width);
            store_first(rows.h[row] + unit, o * tanh(c), width);
            keep_gates<bounded_gates>(rows, row, H, unit, {i, f, g, o});
        }
    }

    Index input_depth() const { return gates * weights.H; }

    void backward_step(const BackwardRows<S>& rows) const {
        recurrent_gradient(rows, 0, weights.w_hh_rows, gates * weights.H, false,
                           [&](Vec<S> dh, Index row, Index unit) { backward_epilogue(dh, rows, row, unit); });
    }

    void backward_epilogue(Vec<S> dh, const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        Vec<S> kept[4];
        read_gates<bounded_gates>(rows, row, H, unit, kept);
        const Vec<S> i = kept[0], f = kept[1], g = kept[2], o = kept[3];
        const Vec<S> tanh_c = tanh(load_first(rows.c[row] + unit, width));
        const Vec<S> dc = fma(dh * o, dtanh(tanh_c), uncut(load(rows.dc[row] + unit), rows, row, unit, rows.dc0));
        keep_gradient(rows.problem->dstates.c, H, rows, row, unit, dc, width);
        store(rows.dc[row] + unit, dc * f);
        S* const d = rows.dgates[row] + unit;
        store_first(d, dc * g * dsigmoid(i), width);
        store_first(d + H, dc * load_first(rows.c_prev[row] + unit, width) * dsigmoid(f), width);
        store_first(d + 2 * H, dc * i * dtanh(g), width);
        store_first(d + 3 * H, dh * tanh_c * dsigmoid(o), width);
    }

    void backward_start(const BackwardRows<S>& rows) const {
        recurrent_product(rows, 0, weights.w_hh_rows, gates * weights.H, false, rows.end);
    }

    void parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                             const Worker& worker, int piece) const {
        shared_gate_gradients(p, scratch, tokens, input_depth(), worker, piece);
    }
};

}  // namespace fastrnn

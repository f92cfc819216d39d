// sLSTM: an LSTM with an exponential input gate (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", equations
// 8 to 17; one head, the forget gate a sigmoid):
//
//   z = tanh(W_iz x + b_iz + W_hz h' + b_hz)           h', c', n', m': the state before this step
//   o = sigmoid(W_io x + b_io + W_ho h' + b_ho)
//   i~ = W_ii x + b_ii + W_hi h' + b_hi
//   l = log sigmoid(W_if x + b_if + W_hf h' + b_hf)
//   m = max(l + m', i~)                                where n' = 0, nothing is stored yet: m = i~
//   i = exp(i~ - m)
//   f = exp(l + m' - m)
//   c = f * c' + i * z
//   n = f * n' + i
//   h = o * c / n
//
// m only keeps the exponentials in range: (c, n, m) and (c exp(-s), n exp(-s), m + s) are one memory, and h is the same
// for both. From a state of zeros the first step has i = 1 and n = 1, and later one of i and f is 1: n stays >= 1, and
// h and its gradient are bounded whatever the inputs.
//
// weight_ih [4H, D], weight_hh [4H, H], biases [4H], gates in the order i, f, z, o. The second state is one array
// [N, 3H]: c, n and m side by side. The tape keeps i, l, z, o as gates [T, N, 4, H], the second state [T, N, 3H] and
// the output y = h [T, N, H]: 8 H scalars a step and sequence. All arrays are the caller's; outputs must not overlap
// inputs.
#pragma once

#include "kernels/matrix/gate_tiles.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/backward.hpp"
#include "kernels/recurrent/forward.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

template <class S>
struct SlstmWeights {
    Index D, H;
    Panels<S> w_ih, w_hh;            // gate panels
    const S* bias;                   // b_ih + b_hh, [unit][4][lanes]
    Panels<S> w_ih_rows, w_hh_rows;  // plain panels of [4H, D] and [4H, H]; used by BPTT only
};

// One vector of units of the second state.
template <class S>
struct SlstmMemory {
    Vec<S> c, n, m;

    static SlstmMemory load(const S* from, Index H, Index width) {
        return {load_first(from, width), load_first(from + H, width), load_first(from + 2 * H, width)};
    }
    void store(S* to, Index H, Index width) const {
        store_first(to, c, width);
        store_first(to + H, n, width);
        store_first(to + 2 * H, m, width);
    }
};

// i and the memory after a step.
template <class S>
struct SlstmUpdate {
    Vec<S> i;
    SlstmMemory<S> memory;

    FASTRNN_INLINE SlstmUpdate(Vec<S> log_i, Vec<S> log_f, Vec<S> z, const SlstmMemory<S>& before) {
        const Vec<S> kept = log_f + before.m, none = set(S(1e30));
        memory.m = max(kept + (where_positive(before.n, none) - none), log_i);
        i = exp(log_i - memory.m);
        const Vec<S> f = exp(kept - memory.m);
        memory.c = fma(f, before.c, i * z);
        memory.n = fma(f, before.n, i);
    }
};

// Gradients of a step's gates and of the memory before it. c, n and m are three independent inputs. As h does not
// depend on m, what reaches m is the gradient along s above, dm - c dc - n dn, to which h adds nothing: it is 0 unless
// a gradient of the last state was given. It goes to the side that the maximum took: i~ where i = 1.
template <class S>
struct SlstmGradients {
    Vec<S> log_i, f, z, o;  // of i~, of the sums of f and o, and of z after its tanh
    SlstmMemory<S> memory;  // after the step
    SlstmMemory<S> before;

    // dh, the tape's gates, and d: what reaches the memory after the step from later steps.
    FASTRNN_INLINE SlstmGradients(Vec<S> dh, Vec<S> i, Vec<S> log_f, Vec<S> z_, Vec<S> open,
                                  const SlstmMemory<S>& reached, const SlstmMemory<S>& earlier, SlstmMemory<S> d) {
        const Vec<S> forget = exp((log_f + earlier.m) - reached.m), ratio = reached.c / reached.n;
        const Vec<S> scale = d.m - fma(d.c, reached.c, d.n * reached.n);
        const Vec<S> dratio = dh * open / reached.n;
        d.c = d.c + dratio;
        d.n = d.n - dratio * ratio;
        memory = d;
        const Vec<S> scale_of_f = where_positive(set(S(1)) - i, scale);
        log_i = fma(i, fma(d.c, z_, d.n), scale - scale_of_f);
        const Vec<S> dlog_f = fma(forget, fma(d.c, earlier.c, d.n * earlier.n), scale_of_f);
        before = {d.c * forget, d.n * forget, dlog_f};
        f = dlog_f * one_minus_exp(log_f);
        z = d.c * i;
        o = dh * ratio * dsigmoid(open);
    }
};

// What flows back into the second state; where the row restarts it goes to the initial state instead. Not `uncut`,
// which stores whole vectors: the last one of a part would reach into the next part, another worker's.
template <class S>
SlstmMemory<S> memory_gradient(const BackwardRows<S>& rows, Index H, Index row, Index unit) {
    const Index width = H - unit;
    const auto d = SlstmMemory<S>::load(rows.dc[row] + unit, H, width);
    if (!rows.cut[row]) return d;
    S* const initial = rows.dc0[row] + unit;
    const auto sum = SlstmMemory<S>::load(initial, H, width);
    SlstmMemory<S>{sum.c + d.c, sum.n + d.n, sum.m + d.m}.store(initial, H, width);
    return {set(S(0)), set(S(0)), set(S(0))};
}

// Keeps the gradient of the second state after this step for the caller, who may not want it.
template <class S>
FASTRNN_INLINE void keep_memory_gradient(const BackwardRows<S>& rows, Index H, Index row, Index unit,
                                         const SlstmMemory<S>& d) {
    const Index at = rows.problem->batch.at(rows.step, row) * 3 * H + unit;
    if (S* const c = rows.problem->dstates.c) d.store(c + at, H, H - unit);
}

template <class S>
struct Slstm {
    static constexpr int gates = 4;
    static constexpr Index grain = lanes<S>;
    static constexpr bool has_options = false, meets = false;
    SlstmWeights<S> weights;

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

    // The pointwise part of one vector of units. First what needs nothing but the sums, so that many rows are under way
    // at once.
    EIGEN_DONT_INLINE void epilogue(S* sums, Index stride, Index height, const StepRows<S>& rows, Index first,
                                    Index unit) const {
        const Index H = weights.H, width = H - unit;
        for (Index r = 0; r < height; ++r) {
            S* const sum = sums + r * stride;
            store(sum + lanes<S>, log_sigmoid(load(sum + lanes<S>)));
            store(sum + 2 * lanes<S>, tanh(load(sum + 2 * lanes<S>)));
            store(sum + 3 * lanes<S>, sigmoid(load(sum + 3 * lanes<S>)));
        }
        for (Index r = 0; r < height; ++r) {
            const S* const sum = sums + r * stride;
            const Index row = first + r;
            const Vec<S> log_i = load(sum), log_f = load(sum + lanes<S>);
            const Vec<S> z = load(sum + 2 * lanes<S>), o = load(sum + 3 * lanes<S>);
            const auto before = SlstmMemory<S>::load(rows.c_prev[row] + unit, H, width);
            const auto [i, memory] = SlstmUpdate<S>(log_i, log_f, z, before);
            memory.store(rows.c[row] + unit, H, width);
            store_first(rows.h[row] + unit, o * (memory.c / memory.n), width);
            if (S* const tape = rows.gates[row]) {
                store_first(tape + unit, i, width);
                store_first(tape + H + unit, log_f, width);
                store_first(tape + 2 * H + unit, z, width);
                store_first(tape + 3 * H + unit, o, width);
            }
        }
    }

    Index input_depth() const { return gates * weights.H; }

    void backward_step(const BackwardRows<S>& rows) const {
        recurrent_gradient(rows, 0, weights.w_hh_rows, gates * weights.H, false,
                           [&](Vec<S> dh, Index row, Index unit) { backward_finish(dh, rows, row, unit); });
    }

    void backward_finish(Vec<S> dh, const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        const S* const tape = rows.gates[row] + unit;
        const Vec<S> i = load_first(tape, width), log_f = load_first(tape + H, width);
        const Vec<S> z = load_first(tape + 2 * H, width), o = load_first(tape + 3 * H, width);
        const auto memory = SlstmMemory<S>::load(rows.c[row] + unit, H, width);
        const auto before = SlstmMemory<S>::load(rows.c_prev[row] + unit, H, width);
        const SlstmGradients<S> d(dh, i, log_f, z, o, memory, before, memory_gradient(rows, H, row, unit));
        keep_memory_gradient(rows, H, row, unit, d.memory);
        d.before.store(rows.dc[row] + unit, H, width);

        S* const dgates = rows.dgates[row] + unit;
        store_first(dgates, d.log_i, width);
        store_first(dgates + H, d.f, width);
        store_first(dgates + 2 * H, d.z * dtanh(z), width);
        store_first(dgates + 3 * H, d.o, width);
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

// Gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product (PyTorch, cuDNN) or before it
// (the paper, the course notes):
//
//   r = sigmoid(W_ir x + b_ir + W_hr h' + b_hr)                          h': the state before this step
//   z = sigmoid(W_iz x + b_iz + W_hz h' + b_hz)
//   n = tanh(W_in x + b_in + r * (W_hn h' + b_hn))        reset after
//   n = tanh(W_in x + b_in + W_hn (r * h') + b_hn)        reset before
//   h = (1 - z) * n + z * h'                              (the course notes' u is 1 - z)
//
// weight_ih [3H, D], weight_hh [3H, H], biases [3H], gates in the order r, z, n. The tape keeps gates: [T, N, 4, H] of
// r, z, n, W_hn h' + b_hn (reset after) or [T, N, 3, H] of r, z, n (before), and the output y = h [T, N, H]. The caller
// owns all arrays; outputs must not overlap inputs.
#pragma once

#include "kernels/matrix/gate_tiles.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/kept_gates.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

// A row of gate gradients is dn, dr, dz and, with the reset after, d(W_hn h'): both the part multiplied with x (the
// first three) and the part multiplied with h' (the last three, or dr, dz) are contiguous.
template <class S>
struct GruWeights {
    Index D, H;
    Panels<S> w_ih, w_hh;            // gate panels r, z, n (reset after) or r, z (before)
    Panels<S> w_in, w_hn;            // plain panels of the candidate (reset before)
    const S* bias;                   // [unit][gates][lanes]: b_ir + b_hr, b_iz + b_hz and, reset after, b_in
    const S* bias_n;                 // padded to whole vectors: b_hn (reset after), b_in + b_hn (before)
    Panels<S> w_ih_rows, w_hh_rows;  // plain panels: n, r, z rows of weight_ih; r, z, n (after) or r, z of weight_hh
    Panels<S> w_hn_rows;             // plain panels of the candidate (reset before)
};

// Common to both forms.
template <class S>
struct GruBase {
    static constexpr int gates = 3, bounded_gates = 3;  // W_hn h' + b_hn has no bound
    GruWeights<S> weights;

    Index input_depth() const { return gates * weights.H; }

    // Adds dn, dr, dz of the gate gradients to the rows n, r, z of bias_ih.
    void input_bias_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                              Range candidate, Range others) const {
        bias_gradients(scratch, tokens, candidate, -2 * weights.H, p.d.bias_ih);
        bias_gradients(scratch, tokens, others, weights.H, p.d.bias_ih);
    }

    // A piece of `count` columns from `first` on.
    static Range part(const Worker& worker, int piece, Index first, Index count) {
        const Range range = worker.part(count, piece, outer_height);
        return {first + range.begin, first + range.end};
    }
};

template <class S>
struct GruResetAfter : GruBase<S> {
    static constexpr Index grain = lanes<S>;
    static constexpr bool has_options = false, meets = false;
    using GruBase<S>::gates, GruBase<S>::bounded_gates;
    using GruBase<S>::weights;

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
            [&](auto& tile, Index first, Index unit, int) { start(tile, rows, first, unit); },
            [&](S* sums, Index stride, Index height, Index first, Index unit) {
                epilogue(sums, stride, height, rows, first, unit);
            });
    }

    // r and z start from the input part, n from b_hn: r is applied before n's input part is added.
    template <int Rows, int Cols>
    FASTRNN_INLINE void start(Tile<S, Rows, Cols>& tile, const StepRows<S>& rows, Index first, Index unit) const {
        FASTRNN_UNROLL
        for (int c = 0; c < Cols; ++c) {
            const Vec<S> bias = load(weights.bias_n + unit + c / gates * lanes<S>);
            FASTRNN_UNROLL
            for (int r = 0; r < Rows; ++r)
                tile.sum[r][c] = c % gates == 2 ? bias : load(rows.gx[first + r] + unit * gates + c * lanes<S>);
        }
    }

    EIGEN_DONT_INLINE void epilogue(S* sums, Index stride, Index height, const StepRows<S>& rows, Index first,
                                    Index unit) const {
        const Index H = weights.H, width = H - unit;
        for (Index r = 0; r < height; ++r) {
            S* const sum = sums + r * stride;
            store(sum, sigmoid(load(sum)));
            store(sum + lanes<S>, sigmoid(load(sum + lanes<S>)));
        }
        for (Index r = 0; r < height; ++r) {
            const S* const sum = sums + r * stride;
            const Index row = first + r;
            const Vec<S> reset = load(sum), z = load(sum + lanes<S>), hn = load(sum + 2 * lanes<S>);
            const Vec<S> n = tanh(fma(reset, hn, load(rows.gx[row] + unit * gates + 2 * lanes<S>)));
            const Vec<S> h_prev = load_first(rows.h_prev[row] + unit, width);
            store_first(rows.h[row] + unit, fma(z, h_prev - n, n), width);
            keep_gates<bounded_gates>(rows, row, H, unit, {reset, z, n, hn});
        }
    }

    void backward_step(const BackwardRows<S>& rows) const {
        recurrent_gradient(rows, weights.H, weights.w_hh_rows, gates * weights.H, true,
                           [&](Vec<S> dh, Index row, Index unit) { backward_epilogue(dh, rows, row, unit); });
    }

    void backward_epilogue(Vec<S> dh, const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        Vec<S> kept[4];
        read_gates<bounded_gates>(rows, row, H, unit, kept);
        const Vec<S> r = kept[0], z = kept[1], n = kept[2], hn = kept[3];
        const Vec<S> h_prev = load_first(rows.h_prev[row] + unit, width);
        const Vec<S> dn = (dh - dh * z) * dtanh(n);
        store(rows.dh[row] + unit, dh * z);
        S* const d = rows.dgates[row] + unit;
        store_first(d, dn, width);
        store_first(d + H, dn * hn * dsigmoid(r), width);
        store_first(d + 2 * H, dh * (h_prev - n) * dsigmoid(z), width);
        store_first(d + 3 * H, dn * r, width);
    }

    void backward_start(const BackwardRows<S>& rows) const {
        recurrent_product(rows, weights.H, weights.w_hh_rows, gates * weights.H, true, rows.end);
    }

    void parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                             const Worker& worker, int piece) const {
        const Index H = weights.H;
        const Range candidate = this->part(worker, piece, 0, H), others = this->part(worker, piece, H, 2 * H);
        const Range hidden = this->part(worker, piece, 3 * H, H);
        const auto& d = p.d;
        weight_gradients(p, scratch, tokens, {candidate, -2 * H, d.weight_ih, nullptr, nullptr, 0}, worker);
        weight_gradients(p, scratch, tokens, {others, H, d.weight_ih, scratch.h, d.weight_hh, H}, worker);
        weight_gradients(p, scratch, tokens, {hidden, H, nullptr, scratch.h, d.weight_hh, H}, worker);
        if (!d.bias_ih) return;
        this->input_bias_gradients(p, scratch, tokens, candidate, others);
        bias_gradients(scratch, tokens, others, H, d.bias_hh);
        bias_gradients(scratch, tokens, hidden, H, d.bias_hh);
    }
};

template <class S>
struct GruResetBefore : GruBase<S> {
    static constexpr Index grain = unit_grain<S>;
    static constexpr bool has_options = false, meets = true;
    using GruBase<S>::gates, GruBase<S>::bounded_gates;
    using GruBase<S>::weights;

    // A row of gx: panels of r and z, then the candidate.
    Index candidate() const { return 2 * round_up_to_lanes<S>(weights.H); }

    void project(const S* const* x, S* const* gx, Range tokens, Range units, const NarrowMemory& memory) const {
        const auto& w = weights;
        Product<S> gated{x, gx, w.w_ih, w.bias, w.D, 0};
        gated.memory = memory;
        multiply_gate_panels<2>(gated, tokens, units);
        Product<S> product{x, gx, w.w_in, w.bias_n, w.D, round_up_to_lanes<S>(units.end)};
        product.memory = memory;
        product.out0 = candidate();
        product.first = units.begin;
        multiply_panels(product, tokens.begin, tokens.end);
    }
    void gather(Index id, S* gx, Range units) const {
        gather_gate_panels(id, gx, weights.w_ih, weights.bias, 2, weights.D, units);
        gather_plain_panels(id, gx + candidate(), weights.w_in, weights.bias_n, weights.D, units);
    }

    // First r and z of every unit, then the candidate, which needs r * h' of every unit. z is kept in gx, r * h' in the
    // row's scratch.
    void step(const StepRows<S>& rows) const {
        for_units(rows, weights.H, weights.H, grain, [&](const StepRows<S>& some) { gates_step(some); });
        for_units(rows, weights.H, weights.H, grain, [&](const StepRows<S>& some) { candidate_step(some); });
    }

    void gates_step(const StepRows<S>& rows) const {
        for_gate_tiles<2>(
            rows.h_prev, {rows.begin, rows.end}, rows.units, weights.w_hh, weights.H, rows.memory,
            [&](auto& tile, Index first, Index unit, int) { tile.start(rows.gx + first, unit * 2); },
            [&](S* sums, Index stride, Index height, Index first, Index unit) {
                for (Index r = 0; r < height; ++r) gates_epilogue(sums + r * stride, rows, first + r, unit);
            });
    }

    void candidate_step(const StepRows<S>& rows) const {
        const Index H = weights.H;
        Product<S> product{rows.scratch, rows.gx, weights.w_hn, nullptr, H, round_up_to_lanes<S>(rows.units.end)};
        product.accumulate = true;
        product.memory = rows.memory;
        product.out0 = candidate();
        product.first = rows.units.begin;
        multiply_panels(product, rows.begin, rows.end);
        for (Index row = rows.begin; row < rows.end; ++row)
            for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>)
                candidate_epilogue(rows, row, unit);
    }

    FASTRNN_INLINE void gates_epilogue(const S* sum, const StepRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        const Vec<S> r = sigmoid(load(sum));
        const Vec<S> z = sigmoid(load(sum + lanes<S>));
        store(rows.gx[row] + unit * 2, z);
        store_first(rows.scratch[row] + unit, r * load_first(rows.h_prev[row] + unit, width), width);
        keep_gates<bounded_gates>(rows, row, H, unit, {r, z});
    }

    void candidate_epilogue(const StepRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        const Vec<S> n = tanh(load(rows.gx[row] + candidate() + unit));
        const Vec<S> z = load(rows.gx[row] + unit * 2);
        const Vec<S> h_prev = load_first(rows.h_prev[row] + unit, width);
        store_first(rows.h[row] + unit, fma(z, h_prev - n, n), width);
        keep_gates<bounded_gates, 2>(rows, row, H, unit, {n});
    }

    // Two products per step: dr and dz of the next step with their weights, then, from this step's dn,
    // d(r h') = W_hn^T dn, which yields this step's dr and the rest of dh'.
    void backward_step(const BackwardRows<S>& rows) const {
        const Index H = weights.H;
        for_units(rows, H, H, grain, [&](const BackwardRows<S>& some) {
            recurrent_gradient(some, H, weights.w_hh_rows, 2 * H, true,
                               [&](Vec<S> dh, Index row, Index unit) { backward_candidate(dh, some, row, unit); });
        });
        for_units(rows, H, H, grain, [&](const BackwardRows<S>& some) { reset_step(some); });
    }

    void reset_step(const BackwardRows<S>& rows) const {
        const Index H = weights.H;
        Product<S> product{rows.dgates, rows.scratch, weights.w_hn_rows, nullptr, H, rows.units.end};
        product.first = rows.units.begin;
        product.memory = rows.memory;
        multiply_panels(product, rows.begin, rows.end);
        for (Index row = rows.begin; row < rows.end; ++row) {
            if (rows.fills_lists()) rows.chunk->candidate[rows.token + row] = rows.kept[row];
            for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>)
                backward_reset(rows, row, unit);
        }
    }

    void backward_candidate(Vec<S> dh, const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        Vec<S> kept[2];
        read_gates<bounded_gates, 1>(rows, row, H, unit, kept);
        const Vec<S> z = kept[0], n = kept[1];
        const Vec<S> h_prev = load_first(rows.h_prev[row] + unit, width);
        store(rows.dh[row] + unit, dh * z);
        S* const d = rows.dgates[row] + unit;
        store_first(d, (dh - dh * z) * dtanh(n), width);
        store_first(d + 2 * H, dh * (h_prev - n) * dsigmoid(z), width);
    }

    void backward_reset(const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index H = weights.H, width = H - unit;
        const Vec<S> drh = load(rows.scratch[row] + unit);
        Vec<S> kept[1];
        read_gates<bounded_gates>(rows, row, H, unit, kept);
        const Vec<S> r = kept[0], h_prev = load_first(rows.h_prev[row] + unit, width);
        store(rows.dh[row] + unit, fma(drh, r, load(rows.dh[row] + unit)));
        store_first(rows.kept[row] + unit, r * h_prev, width);
        store_first(rows.dgates[row] + H + unit, drh * h_prev * dsigmoid(r), width);
    }

    void backward_start(const BackwardRows<S>& rows) const {
        recurrent_product(rows, weights.H, weights.w_hh_rows, 2 * weights.H, true, rows.end);
    }

    void parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                             const Worker& worker, int piece) const {
        const Index H = weights.H;
        const Range candidate = this->part(worker, piece, 0, H), others = this->part(worker, piece, H, 2 * H);
        const auto& d = p.d;
        weight_gradients(p, scratch, tokens, {candidate, -2 * H, d.weight_ih, scratch.candidate, d.weight_hh, H},
                         worker);
        weight_gradients(p, scratch, tokens, {others, H, d.weight_ih, scratch.h, d.weight_hh, H}, worker);
        if (!d.bias_ih) return;
        this->input_bias_gradients(p, scratch, tokens, candidate, others);
        bias_gradients(scratch, tokens, others, H, d.bias_hh);
        bias_gradients(scratch, tokens, candidate, -2 * H, d.bias_hh);
    }
};

}  // namespace fastrnn

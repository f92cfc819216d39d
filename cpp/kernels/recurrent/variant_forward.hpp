// A forward step of a cell with options: masks, products and normalisation before the cell's own part, the projection
// and the zoneout after it.
#pragma once

#include "kernels/recurrent/variant_elman.hpp"
#include "kernels/recurrent/variant_gru.hpp"
#include "kernels/recurrent/variant_lstm.hpp"
#include "kernels/recurrent/variant_minimal.hpp"
#include "kernels/recurrent/variant_slstm.hpp"

namespace fastrnn {

template <class S>
void Variant<S>::start(const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const Share& share) const {
    if (!p.options.context || p.options.each_context) return;
    const S** const x = scratch.x_rows + share.team.rank * scratch.steps * p.batch.N;
    S** const out = scratch.gx_rows + share.team.rank * scratch.steps * p.batch.N;
    for (Index row = share.rows.begin; row < share.rows.end; ++row) {
        x[row - share.rows.begin] = p.options.context + p.batch.order[row] * sizes.context;
        out[row - share.rows.begin] = scratch.context + row * scratch.stride;
    }
    share.parts(sizes.H, grain,
                [&](Range units) { multiply_context(x, out, {0, share.rows.end - share.rows.begin}, units); });
}

template <class S>
void Variant<S>::multiply_context(const S* const* context, S* const* out, Range rows, Range units) const {
    multiply_gates(Product<S>{context, out, weights.w_context, weights.zeros, sizes.context, 0}, rows, units);
    if (candidate < 0) return;
    Product<S> product{context,       out,           weights.w_context_candidate,
                       weights.zeros, sizes.context, round_up_to_lanes<S>(units.end)};
    product.out0 = layout.candidate;
    product.first = units.begin;
    multiply_panels(product, rows.begin, rows.end);
}

template <class S>
void Variant<S>::project(const S* const* x, S* const* gx, Range tokens, Range units, const NarrowMemory&) const {
    const S* const bias = normed ? weights.zeros : weights.bias;
    multiply_gates(Product<S>{x, gx, weights.w_ih, bias, sizes.D, 0}, tokens, units);
    if (candidate < 0) return;
    Product<S> product{
        x, gx, weights.w_ih_candidate, bias + layout.candidate, sizes.D, round_up_to_lanes<S>(units.end)};
    product.out0 = layout.candidate;
    product.first = units.begin;
    multiply_panels(product, tokens.begin, tokens.end);
}

template <class S>
void Variant<S>::gather(Index id, S* gx, Range units) const {
    const S* const bias = normed ? weights.zeros : weights.bias;
    if (panel_gates == 1)
        gather_plain_panels(id, gx, weights.w_ih, bias, sizes.D, units);
    else
        gather_gate_panels(id, gx, weights.w_ih, bias, panel_gates, sizes.D, units);
    if (candidate >= 0)
        gather_plain_panels(id, gx + layout.candidate, weights.w_ih_candidate, bias + layout.candidate, sizes.D, units);
}

template <class S>
void Variant<S>::finish_inputs(const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const InputChunk<S>& chunk,
                               const Share& share) const {
    if (sizes.normalises_inputs)
        share.parts(chunk.tokens.end - chunk.tokens.begin, 1,
                    [&](Range some) { normalise_inputs(chunk.gx + chunk.tokens.begin, some); });
    if (!p.options.context) return;
    share.parts(sizes.H, grain, [&](Range units) {
        if (chunk.context) multiply_context(chunk.context, chunk.context_gx, chunk.tokens, units);
        for (Index token = chunk.tokens.begin; token < chunk.tokens.end; ++token) {
            const S* const context =
                chunk.context ? chunk.context_gx[token] : scratch.context + chunk.row_of[token] * scratch.stride;
            for (Index gate = 0; gate < sizes.gates; ++gate)
                for (Index unit = units.begin; unit < units.end; unit += lanes<S>) {
                    const Index at = layout.gate[gate].base + unit * layout.gate[gate].stride;
                    store(chunk.gx[token] + at, load(chunk.gx[token] + at) + load(context + at));
                }
        }
    });
}

// The input part of some tokens' gates.
template <class S>
void Variant<S>::normalise_inputs(S* const* rows, Range some) const {
    const Index H = sizes.H;
    for (Index token = some.begin; token < some.end; ++token) {
        S* const gx = rows[token];
        const auto place = [&](Index gate, Index unit) {
            return gx + layout.gate[gate].base + unit * layout.gate[gate].stride;
        };
        for (Index which = 0; which < groups(); ++which) {
            const GateGroup gates = group(which);
            const Moments<S> m = moments<S>(
                gates.count, H, [&](Index i, Index unit) { return load_first(place(gates[i], unit), H - unit); });
            for (Index i = 0; i < gates.count; ++i)
                for_each_vector<S>(H, [&](Index unit, Index left) {
                    S* const at = place(gates[i], unit);
                    const S* const bias = weights.bias + (at - gx);
                    const Vec<S> x = (load(at) - set(m.mean)) * set(m.scale);
                    store(at, fma(x, load_first(weights.gain_ih + gates[i] * H + unit, left), load(bias)));
                });
        }
    }
}

// The output `skip` steps before `step`, or the state's where the row has started since.
template <class S>
const S* past_output(const RaggedBatch& batch, const CellSizes& sizes, Index step, Index row, const S* initial,
                     const S* restart, const S* y) {
    const Index d = sizes.skip, since = batch.steps_since_start(step, row, d);
    if (since == d) return y + batch.at(step - d, row) * sizes.P;
    return (batch.resets(step - since, row) ? restart : initial) + (batch.order[row] * d + since) * sizes.P;
}

// What the step `skip` steps ago left, and where the projection finds what it reads.
template <class S>
void Variant<S>::point_options(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    for (Index row = rows.begin; row < rows.end; ++row) {
        rows.q[row] = rows.h[row];
        if (sizes.projects)
            rows.q[row] = p.arrays.q ? p.arrays.q + p.batch.at(rows.step, row) * sizes.H : rows.scratch[row] + layout.q;
        if (sizes.skip)
            rows.past[row] = past_output(p.batch, sizes, rows.step, row, p.initial.past, p.restart.past, p.arrays.y);
    }
}

template <class S>
void Variant<S>::mask_states(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const S* const mask = p.options.state_mask + p.batch.order[row] * sizes.P;
        S* const u = rows.scratch[row] + layout.u;
        for_each_vector<S>(sizes.P, [&](Index i, Index left) {
            store_first(u + i, load_first(rows.h_prev[row] + i, left) * load_first(mask + i, left), left);
        });
    }
}

// The gates' sums: the input part in gx and the recurrent part.
template <class S>
void Variant<S>::recurrent_sums(const StepRows<S>& rows) const {
    const Range some{rows.begin, rows.end};
    const bool with_mask = rows.problem->options.state_mask;
    Product<S> product{rows.h_prev, rows.gx, weights.w_hh, nullptr, sizes.P, 0};
    product.accumulate = true;
    if (with_mask) product.a = rows.scratch, product.a0 = layout.u;
    if (kind == CellKind::gru_after)  // r comes between the candidate's two parts
        for_row_units<S>(some, rows.units, sizes.H, [&](Index row, Index unit, Index) {
            store(rows.scratch[row] + layout.n + unit, gate(rows, row, 2, unit));
            put_gate(rows, row, 2, unit, load(weights.bias_n + unit));
        });
    const bool apart = sizes.normalises_recurrent && !joint;
    if (apart) {
        product.out = rows.scratch, product.out0 = layout.sums;
        product.bias = weights.zeros, product.accumulate = false;
    }
    if (weights.w_hh) multiply_gates(product, some, rows.units);
    if (sizes.skip) {
        Product<S> skip{rows.past, product.out, weights.w_skip, nullptr, sizes.P, 0};
        skip.out0 = product.out0;
        skip.accumulate = true;
        multiply_gates(skip, some, rows.units);
    }
    if (!weights.w_inner) return;
    Product<S> inner{rows.c_prev, rows.gx, weights.w_inner, nullptr, sizes.H, 0};
    inner.accumulate = true;
    multiply_gates(inner, some, rows.units);
}

// Recurrent sums of a group of gates, normalised together and added to gx with their gain. Where they are in gx with
// the input part already: both, normalised in place, and the bias.
template <class S>
void Variant<S>::normalise_sums(const StepRows<S>& rows, Index which) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    const GateGroup gates = group(which);
    for (Index row = rows.begin; row < rows.end; ++row) {
        S* const gx = rows.gx[row];
        const S* const sums = joint ? gx : rows.scratch[row] + layout.sums;
        const S* const rest = joint ? weights.bias : gx;
        const auto place = [&](Index i, Index unit) {
            return layout.gate[gates[i]].base + unit * layout.gate[gates[i]].stride;
        };
        const auto at = [&](Index i, Index unit) { return load_first(sums + place(i, unit), H - unit); };
        const Moments<S> m = moments<S>(gates.count, H, at);
        const Index token = p.batch.at(rows.step, row);
        if (p.arrays.scale) p.arrays.scale[token * 2 + which] = m.scale;
        S* const tape = part(p.arrays.normed, token, width());
        for (Index i = 0; i < gates.count; ++i)
            for_each_vector<S>(H, [&](Index unit, Index left) {
                const Vec<S> x = (at(i, unit) - set(m.mean)) * set(m.scale);
                keep(tape, gates[i], H, unit, x, left);
                const Vec<S> gain = load_first(weights.gain_hh + gates[i] * H + unit, left);
                store(gx + place(i, unit), fma(x, gain, load(rest + place(i, unit))));
            });
    }
}

// Of a candidate whose product with h' goes through the gate r: r * u.
template <class S>
void Variant<S>::reset_states(const StepRows<S>& rows) const {
    const bool with_mask = rows.problem->options.state_mask;
    activate_gate(rows, reset_gate(), gate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, sizes.H, [&](Index row, Index unit, Index left) {
        const S* const u = with_mask ? rows.scratch[row] + layout.u : rows.h_prev[row];
        store(rows.scratch[row] + layout.ru + unit, gate(rows, row, reset_gate(), unit) * load_first(u + unit, left));
    });
}

// Its product with r * u of all units.
template <class S>
void Variant<S>::candidate_sums(const StepRows<S>& rows) const {
    Product<S> product{rows.scratch, rows.gx, weights.w_hh_candidate,
                       nullptr,      sizes.H, round_up_to_lanes<S>(rows.units.end)};
    product.a0 = layout.ru;
    product.first = rows.units.begin;
    product.out0 = layout.candidate;
    product.accumulate = !normed;
    if (normed) product.out = rows.scratch, product.out0 += layout.sums;
    multiply_panels(product, rows.begin, rows.end);
}

// From q of all units to h before its activation.
template <class S>
void Variant<S>::project_outputs(const StepRows<S>& rows) const {
    Product<S> product{rows.q, rows.h, weights.w_hr, weights.b_hr, sizes.H, rows.outputs.end};
    product.first = rows.outputs.begin;
    multiply_panels(product, rows.begin, rows.end);
}

// The activation of a projection, the zoneout, and the output with its mask.
template <class S>
void Variant<S>::finish_outputs(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index P = sizes.P;
    const Range outputs = rows.outputs;
    const bool zoned = p.options.zone_h || zone_h != S(0);
    if (projection_activation == Activation::identity && !zoned && !p.output) return;
    const auto finish = [&](auto&& activation) {
        for_row_units<S>({rows.begin, rows.end}, outputs, P, [&](Index row, Index i, Index left) {
            const Index token = p.batch.at(rows.step, row), n = p.batch.order[row];
            Vec<S> h = activation(load_first(rows.h[row] + i, left));
            if (zoned) {
                const S* const zone = part(p.options.zone_h, token, P);
                h = blend(zone ? load_first(zone + i, left) : set(zone_h), load_first(rows.h_prev[row] + i, left), h);
            }
            store_first(rows.h[row] + i, h, left);
            if (p.output)
                store_first(p.output + token * P + i, h * load_first(p.options.output_mask + n * P + i, left), left);
        });
    };
    if (projection_activation == Activation::identity) return finish([](Vec<S> h) { return h; });
    with_activation<S>(projection_activation, finish);
}

template <class S>
void Variant<S>::cell_step(const StepRows<S>& rows) const {
    switch (kind) {
        case CellKind::elman:
            elman_step(rows);
            break;
        case CellKind::gru_after:
            gru_after_step(rows);
            break;
        case CellKind::gru_before:
            gru_before_step(rows);
            break;
        case CellKind::lstm:
            lstm_step(rows);
            break;
        case CellKind::slstm:
            slstm_step(rows);
            break;
        case CellKind::mingru:
            mingru_step(rows);
            break;
        case CellKind::minlstm:
            minlstm_step(rows);
            break;
    }
    if (!sizes.projects && !weights.gain_c) finish_outputs(rows);
}

// Each part of a step needs the one before it of all units, or of a whole row.
template <class S>
void Variant<S>::step(const StepRows<S>& rows) const {
    using Rows = StepRows<S>;
    point_options(rows);
    if (rows.problem->options.state_mask) with_whole_rows(rows, [&](const Rows& some) { mask_states(some); });
    // The product with c' reads all of it, and in inference c is written over it.
    const bool at_once = candidate < 0 && !sizes.normalises_recurrent && !weights.w_inner;
    with_units(rows, [&](const Rows& some) {
        recurrent_sums(some);
        if (at_once) cell_step(some);
        if (candidate >= 0 && !normed) reset_states(some);
    });
    if (sizes.normalises_recurrent)
        with_whole_rows(rows, [&](const Rows& some) {
            normalise_sums(some, 0);
            if (alone >= 0 && candidate < 0) normalise_sums(some, 1);
        });
    if (candidate >= 0 && normed) {
        with_units(rows, [&](const Rows& some) { reset_states(some); });
        with_units(rows, [&](const Rows& some) { candidate_sums(some); });
        with_whole_rows(rows, [&](const Rows& some) { normalise_sums(some, 1); });
    }
    if (!at_once)
        with_units(rows, [&](const Rows& some) {
            if (candidate >= 0 && !normed) candidate_sums(some);
            cell_step(some);
        });
    if (weights.gain_c)
        with_whole_rows(rows, [&](const Rows& some) {
            normalise_cell(some);
            lstm_output(some);
            if (!sizes.projects) finish_outputs(some);
        });
    if (sizes.projects)
        with_units(rows, [&](const Rows& some) {
            project_outputs(some);
            finish_outputs(some);
        });
}

}  // namespace fastrnn

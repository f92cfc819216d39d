// Backpropagation through time of a cell with options. A step first takes what the step after it sends back, then finds
// its own gradients of gates and writes them, and what the gradients of parameters are summed from, into one row of
// dgates; the products over a chunk of time follow in variant_gradients.hpp.
#pragma once

#include "kernels/recurrent/variant_forward.hpp"

namespace fastrnn {

// The last outputs are part of the state: their gradients go to the steps that made them, or, where a row has run for
// fewer steps since it started, to the state that it started from. In teacher forcing the last h is a target.
template <class S>
void Variant<S>::start_backward(const BackwardRows<S>& rows) const {
    with_units(rows, [&](const BackwardRows<S>& some) { start_backward_of(some); });
}

template <class S>
void Variant<S>::start_backward_of(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index P = sizes.P, d = sizes.skip;
    const Range outputs = rows.outputs;
    for (Index row = rows.share->rows.begin; row < rows.share->rows.end; ++row) {
        const Index n = p.batch.order[row], length = p.batch.length[row];
        if (p.options.targets && length > 0)
            for (Index j = outputs.begin; j < outputs.end; ++j) rows.dh[row][j] = S(0);
        if (!d) continue;
        const Index since = length > 0 ? p.batch.steps_since_start(length - 1, row, length - 1) : 0;
        const Index ran = length > 0 ? std::min(since + 1, d) : 0;
        const bool restarted = length > 0 && p.batch.resets(length - 1 - since, row);
        S* const ring = rows.chunk->ring + row * d * P;
        S* const before = restarted ? rows.chunk->dpast + row * d * P : p.dinitial.past + n * d * P;
        for (Index k = 1; k <= d; ++k) {  // the output k steps from the end
            const S* const from = p.dlast.past ? p.dlast.past + (n * d + d - k) * P : nullptr;
            S* const to = k <= ran ? ring + (length - k) % d * P : before + (d - (k - ran)) * P;
            for (Index j = outputs.begin; from && j < outputs.end; ++j) to[j] += from[j];
        }
        if (!p.drestart.past) continue;
        const S* const from = p.drestart.past + n * d * P;
        S* const to = rows.chunk->dpast + row * d * P;
        for (Index k = 0; k < d; ++k)
            for (Index j = outputs.begin; j < outputs.end; ++j) to[k * P + j] += from[k * P + j];
    }
}

// What the step after this one sends back over the recurrent connections to rows begin .. end-1: into dh and dc, or,
// where a row restarts, to its initial state. `first`: this goes to the state before the first step.
template <class S>
void Variant<S>::recurrent_gradients(const BackwardRows<S>& rows, Index end, bool first) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index P = sizes.P, H = sizes.H;
    const Range outputs = rows.outputs;
    // The candidate comes last in a GRU, so that its rows, which are zero, can be left out.
    const Index depth = kind == CellKind::gru_before ? 2 * H : width();
    if (weights.w_hh) {
        Product<S> product{rows.dgates_next, rows.scratch, weights.w_hh_rows, nullptr, depth, outputs.end};
        product.a0 = layout.normed, product.out0 = layout.du, product.first = outputs.begin;
        multiply_panels(product, rows.begin, end);
    }
    if (weights.w_inner) {
        Product<S> product{rows.dgates_next, rows.dc, weights.w_inner_rows, nullptr, width(), rows.units.end};
        product.a0 = layout.normed, product.first = rows.units.begin;
        product.accumulate = true;  // to what the zoneout kept
        multiply_panels(product, rows.begin, end);
    }
    if (sizes.skip) {
        Product<S> product{rows.dgates_next, rows.scratch, weights.w_skip_rows, nullptr, width(), outputs.end};
        product.a0 = layout.normed, product.out0 = layout.dskip, product.first = outputs.begin;
        multiply_panels(product, rows.begin, end);
    }
    for (Index row = rows.begin; row < end; ++row) {
        const S* const mask = part(p.options.state_mask, p.batch.order[row], P);
        const S* const du = rows.scratch[row] + layout.du;
        const bool given = p.options.targets && !first && !rows.cut[row];  // h' was a target
        for (Index i = outputs.begin; i < outputs.end; i += lanes<S>) {
            Vec<S> dh = given ? set(S(0)) : load(rows.dh[row] + i);
            if (weights.w_hh && !given) dh = dh + masked(load(du + i), mask, i, P - i);
            store(rows.dh[row] + i, uncut(dh, rows, row, i, rows.dh0));
        }
        if (sizes.carried == H)  // an sLSTM's three parts: in its own step
            for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>)
                store(rows.dc[row] + unit, uncut(load(rows.dc[row] + unit), rows, row, unit, rows.dc0));
        if (sizes.skip) skip_gradients(rows, row, outputs, first ? 0 : rows.step + 1);
    }
}

// Over the connection that spans several steps: from step `source` to the step that it reads, or to the state's
// outputs.
template <class S>
void Variant<S>::skip_gradients(const BackwardRows<S>& rows, Index row, Range outputs, Index source) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index d = sizes.skip, P = sizes.P, since = p.batch.steps_since_start(source, row, d);
    const S* const from = rows.scratch[row] + layout.dskip;
    S* const slot = rows.chunk->ring + (row * d + source % d) * P;
    S* to = slot;
    if (since < d) {
        std::fill(slot + outputs.begin, slot + outputs.end, S(0));
        to = p.batch.resets(source - since, row) ? rows.chunk->dpast + (row * d + since) * P
                                                 : p.dinitial.past + (p.batch.order[row] * d + since) * P;
    }
    for (Index j = outputs.begin; j < outputs.end; ++j) to[j] = since < d ? to[j] + from[j] : from[j];
}

// What the forward pass made and did not keep, and the lists of the chunk.
template <class S>
void Variant<S>::recompute(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const BackwardScratch<S>& chunk = *rows.chunk;
    for (Index row = rows.begin; rows.fills_lists() && row < rows.end; ++row) {
        const Index k = rows.token + row, n = p.batch.order[row], at = p.batch.at(rows.step, row);
        if (p.options.state_mask) {
            S* const u = rows.kept[row] + layout.kept_u;
            for_each_vector<S>(sizes.P, [&](Index i, Index left) {
                store_first(u + i,
                            masked(load_first(rows.h_prev[row] + i, left), p.options.state_mask + n * sizes.P, i, left),
                            left);
            });
            chunk.h[k] = u;
        }
        if (p.options.input_mask && p.input.x) {
            S* const x = rows.kept[row] + layout.kept_x;
            const S* const mask = p.options.input_mask + n * sizes.D;
            for_each_vector<S>(sizes.D, [&](Index i, Index left) {
                store_first(x + i, masked(load_first(chunk.x[k] + i, left), mask, i, left), left);
            });
            chunk.x[k] = x;
        }
        if (candidate >= 0) chunk.candidate[k] = rows.kept[row] + layout.kept_ru;
        if (sizes.skip)
            chunk.past[k] = past_output(p.batch, sizes, rows.step, row, p.initial.past, p.restart.past, p.tape.y);
        if (weights.w_inner) chunk.inner[k] = rows.c_prev[row];
        if (sizes.projects) chunk.q[k] = p.tape.q + at * sizes.H;
    }
}

// dh of each row, split by the zoneout into what goes through the cell (dq) and what h' gets directly (left in dh).
template <class S>
void Variant<S>::output_gradients(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index P = sizes.P, d = sizes.skip;
    const Range outputs = rows.outputs;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(rows.step, row);
        const S* const mask = part(p.options.output_mask, p.batch.order[row], P);
        const S* const ring = d ? rows.chunk->ring + (row * d + rows.step % d) * P : nullptr;
        const S* const zone = part(p.options.zone_h, at, P);
        S* const through = sizes.projects ? rows.dgates[row] + layout.projected : rows.scratch[row] + layout.dq;
        for (Index i = outputs.begin; i < outputs.end; i += lanes<S>) {
            const Index left = P - i;
            Vec<S> dh = masked(load_first(rows.dy[row] + i, left), mask, i, left) + load(rows.dh[row] + i);
            if (ring) dh = dh + load_first(ring + i, left);
            keep_gradient(p.dstates.h, P, rows, row, i, dh, left);
            Vec<S> carry = set(S(0));
            if (zone) {
                const Vec<S> keep = load_first(zone + i, left);
                carry = keep * dh;
                dh = (set(S(1)) - keep) * dh;
            }
            store(rows.dh[row] + i, carry);
            if (projection_activation != Activation::identity)
                dh = activation_gradient(projection_activation, load_first(rows.h[row] + i, left), dh);
            store_first(through + i, dh, left);
        }
    }
}

// From dh of all outputs to dq.
template <class S>
void Variant<S>::projection_gradients(const BackwardRows<S>& rows) const {
    Product<S> product{rows.dgates, rows.scratch, weights.w_hr_rows, nullptr, sizes.P, rows.units.end};
    product.a0 = layout.projected, product.out0 = layout.dq, product.first = rows.units.begin;
    multiply_panels(product, rows.begin, rows.end);
}

// Through the candidate's own product: from the candidate to r * u, and on to r and u.
template <class S>
void Variant<S>::candidate_gradients(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H, reset = reset_gate();
    Product<S> product{rows.dgates, rows.scratch, weights.w_hh_candidate_rows, nullptr, H, rows.units.end};
    product.a0 = layout.normed + candidate * H, product.out0 = layout.dru, product.first = rows.units.begin;
    multiply_panels(product, rows.begin, rows.end);
    for_gradients(rows, layout, H, [&](const UnitGradients<S>& g) {
        const S* const mask = part(p.options.state_mask, p.batch.order[g.row], H);
        const Vec<S> r = g.gate(reset), u = masked(g.at(rows.h_prev[g.row]), mask, g.unit, g.left);
        const Vec<S> d = load(rows.scratch[g.row] + layout.dru + g.unit);
        g.put_gate(reset, activation_gradient(gate_activation, r, d * u));
        store_first(rows.kept[g.row] + layout.kept_ru + g.unit, r * u, g.left);
        g.carry(masked(d * r, mask, g.unit, g.left));
    });
}

// Through the gain and the normalisation of the recurrent sums, or of the whole sums, of a group of gates.
template <class S>
void Variant<S>::normalised_gradients(const BackwardRows<S>& rows, Index which) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    const GateGroup gates = group(which);
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index token = p.batch.at(rows.step, row);
        S* const dgates = rows.dgates[row];
        const S* const normed_sums = p.tape.normed + token * width();
        const auto column = [&](Index i, Index unit) { return gates[i] * H + unit; };
        const auto x = [&](Index i, Index unit) { return load_first(normed_sums + column(i, unit), H - unit); };
        const auto d = [&](Index i, Index unit) {
            const Index at = column(i, unit), left = H - unit;
            return load_first(dgates + layout.recurrent + at, left) * load_first(weights.gain_hh + at, left);
        };
        const auto gain_gradient = [&](Index i, Index unit, Vec<S> value) {
            const Index at = column(i, unit), left = H - unit;
            store_first(dgates + layout.gain_hh + at, load_first(dgates + layout.recurrent + at, left) * value, left);
        };
        normalise_backward<S>(gates.count, H, p.tape.scale[token * 2 + which], d, x, gain_gradient,
                              [&](Index i, Index unit, Vec<S> value) {
                                  store_first(dgates + layout.normed + column(i, unit), value, H - unit);
                              });
    }
}

template <class S>
void Variant<S>::cell_gradients(const BackwardRows<S>& rows) const {
    switch (kind) {
        case CellKind::elman:
            elman_gradients(rows);
            break;
        case CellKind::gru_after:
        case CellKind::gru_before:
            gru_gradients(rows);
            break;
        case CellKind::lstm:
            lstm_gradients(rows);
            break;
        case CellKind::slstm:
            slstm_gradients(rows);
            break;
        case CellKind::mingru:
            mingru_gradients(rows);
            break;
        case CellKind::minlstm:
            minlstm_gradients(rows);
            break;
    }
}

// Each part of a step needs the one before it of all units, or of a whole row.
template <class S>
void Variant<S>::backward_step(const BackwardRows<S>& rows) const {
    using Rows = BackwardRows<S>;
    const bool sums_context = rows.chunk->dcontext;
    const bool at_once = candidate < 0 && !sizes.normalises_recurrent && !weights.gain_c;
    const auto through_cell = [&](const Rows& some) {
        cell_gradients(some);
        if (sums_context && at_once) context_sums(some);
    };
    with_units(rows, [&](const Rows& some) {
        recurrent_gradients(some, some.running, false);
        recompute(some);
        output_gradients(some);
        if (!sizes.projects) through_cell(some);
    });
    if (sizes.projects)
        with_units(rows, [&](const Rows& some) {
            projection_gradients(some);
            through_cell(some);
        });
    if (weights.gain_c) {
        with_whole_rows(rows, [&](const Rows& some) { lstm_output_gradients(some); });
        with_units(rows, [&](const Rows& some) { lstm_cell_gradients(some); });
    }
    if (candidate >= 0) {
        if (normed) with_whole_rows(rows, [&](const Rows& some) { normalised_gradients(some, 1); });
        with_units(rows, [&](const Rows& some) { candidate_gradients(some); });
    }
    if (sizes.normalises_recurrent)
        with_whole_rows(rows, [&](const Rows& some) {
            if (alone >= 0 && candidate < 0) normalised_gradients(some, 1);
            normalised_gradients(some, 0);
        });
    if (sums_context && !at_once) with_units(rows, [&](const Rows& some) { context_sums(some); });
}

// The gradients of what the context added to the gates' sums, for contexts of all steps.
template <class S>
void Variant<S>::context_sums(const BackwardRows<S>& rows) const {
    const Index column = context_column();
    for (Index row = rows.begin; row < rows.end; ++row)
        for (Index gate = 0; gate < sizes.gates; ++gate)
            for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>) {
                const Index at = gate * sizes.H + unit, left = sizes.H - unit;
                add_to(rows.chunk->dcontext + row * width() + at, load_first(rows.dgates[row] + column + at, left),
                       left);
            }
}

// The gradients of the state's outputs.
template <class S>
void Variant<S>::finish_rows(const BackwardRows<S>& rows, Index end) const {
    const BackwardProblem<S>& p = *rows.problem;
    const BackwardScratch<S>& chunk = *rows.chunk;
    const Index past = sizes.skip * sizes.P;
    const Range outputs = rows.outputs;
    const bool kept_apart = p.resumed;  // resets go to the state that the whole pass began with
    for (Index row = rows.begin; past && (!kept_apart || p.drestart.past) && row < end; ++row) {
        const S* const cut = chunk.dpast + row * past;
        S* const to = (kept_apart ? p.drestart.past : p.dinitial.past) + p.batch.order[row] * past;
        for (Index k = 0; k < past; k += sizes.P)
            for (Index j = outputs.begin; j < outputs.end; ++j)
                to[k + j] = kept_apart ? cut[k + j] : to[k + j] + cut[k + j];
    }
}

}  // namespace fastrnn

// Backpropagation through time of a cell with options. A step first takes what the step after it sends back, then finds
// its own gradients of gates and writes them, and what the gradients of parameters are summed from, into one row of
// dgates; the products over a chunk of time follow in parameter_gradients.
#pragma once

#include "kernels/recurrent/variant_forward.hpp"

namespace fastrnn {

// The last outputs are part of the state: their gradients go to the steps that made them, or, where a row has run for
// fewer steps since it started, to the state that it started from. In teacher forcing the last h is a target.
template <class S>
void Variant<S>::start_backward(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index P = sizes.P, d = sizes.skip;
    const Range outputs = P == sizes.H ? rows.units : rows.share->columns(P, grain, *rows.worker);
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
    const Range outputs = P == H ? rows.units : rows.share->columns(P, grain, *rows.worker);
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
    for (Index row = rows.begin; rows.lists && row < rows.end; ++row) {
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
    const Range outputs = P == sizes.H ? rows.units : rows.share->columns(P, grain, *rows.worker);
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
    if (!sizes.projects) return;
    rows.barrier();
    Product<S> product{rows.dgates, rows.scratch, weights.w_hr_rows, nullptr, P, rows.units.end};
    product.a0 = layout.projected, product.out0 = layout.dq, product.first = rows.units.begin;
    multiply_panels(product, rows.begin, rows.end);
}

// Through the candidate's own product: from the candidate to r * u, and on to r and u.
template <class S>
void Variant<S>::candidate_gradients(const BackwardRows<S>& rows) const {
    const BackwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H, reset = reset_gate();
    if (normed)
        normalised_gradients(rows, 1);
    else
        rows.barrier();
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
    rows.barrier();
    const auto [begin, end] = whole_rows(rows);
    for (Index row = begin; row < end; ++row) {
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
    rows.barrier();
}

template <class S>
void Variant<S>::backward_step(const BackwardRows<S>& rows) const {
    recurrent_gradients(rows, rows.running, false);
    recompute(rows);
    output_gradients(rows);
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
    if (candidate >= 0) candidate_gradients(rows);
    if (sizes.normalises_recurrent && alone >= 0 && candidate < 0) normalised_gradients(rows, 1);
    if (sizes.normalises_recurrent) normalised_gradients(rows, 0);
    if (!rows.chunk->dcontext) return;
    const Index column = context_column();
    for (Index row = rows.begin; row < rows.end; ++row)
        for (Index gate = 0; gate < sizes.gates; ++gate)
            for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>) {
                const Index at = gate * sizes.H + unit, left = sizes.H - unit;
                add_to(rows.chunk->dcontext + row * width() + at, load_first(rows.dgates[row] + column + at, left),
                       left);
            }
}

// Recomputes the normalised input part of some tokens of a chunk, and goes back through its gain and normalisation.
template <class S>
void Variant<S>::normalise_inputs_backward(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                                           Range tokens) const {
    if (!sizes.normalises_inputs || tokens.begin >= tokens.end) return;
    const Index H = sizes.H, stride = sizes.gx_width + 16;
    S** const rows = scratch.input_rows;
    for (Index k = tokens.begin; k < tokens.end; ++k) {
        rows[k] = scratch.inputs + k * stride;
        if (!p.input.x) gather(*scratch.ids[k], rows[k], {0, H});
    }
    if (p.input.x) project(scratch.x, rows, tokens, {0, H});
    for (Index k = tokens.begin; k < tokens.end; ++k) {
        S* const sums = rows[k];
        S* const dgates = scratch.dgates + k * scratch.width;
        const auto place = [&](Index gate, Index unit) {
            return sums + layout.gate[gate].base + unit * layout.gate[gate].stride;
        };
        for (Index which = 0; which < groups(); ++which) {
            const GateGroup gates = group(which);
            const auto sum = [&](Index i, Index unit) { return load_first(place(gates[i], unit), H - unit); };
            const Moments<S> m = moments<S>(gates.count, H, sum);
            const auto x = [&](Index i, Index unit) {
                return keep_first((load(place(gates[i], unit)) - set(m.mean)) * set(m.scale), H - unit);
            };
            const auto d = [&](Index i, Index unit) {
                const Index at = gates[i] * H + unit, left = H - unit;
                return load_first(dgates + layout.gates + at, left) * load_first(weights.gain_ih + at, left);
            };
            const auto gain_gradient = [&](Index i, Index unit, Vec<S> value) {
                const Index at = gates[i] * H + unit, left = H - unit;
                store_first(dgates + layout.gain_ih + at, load_first(dgates + layout.gates + at, left) * value, left);
            };
            normalise_backward<S>(gates.count, H, m.scale, d, x, gain_gradient, [&](Index i, Index unit, Vec<S> value) {
                store_first(dgates + layout.input + gates[i] * H + unit, value, H - unit);
            });
        }
    }
}

template <class S>
void Variant<S>::mask_input_gradient(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                                     Range tokens) const {
    if (!p.options.input_mask) return;
    for (Index k = tokens.begin; k < tokens.end; ++k) {
        const S* const mask = p.options.input_mask + p.batch.order[scratch.row_of[k]] * sizes.D;
        for_each_vector<S>(sizes.D, [&](Index i, Index left) {
            store_first(scratch.dx[k] + i, load_first(scratch.dx[k] + i, left) * load_first(mask + i, left), left);
        });
    }
}

template <class S>
void Variant<S>::parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                                     const Worker& worker) const {
    const Index H = sizes.H, P = sizes.P;
    const VariantLayout& l = layout;
    const auto& d = p.d;
    const auto products = [&](Index column, Index count, Index shift, S* dweight_ih, const S** side, S* dweight,
                              Index side_width) {
        const Range share = worker.part(count, outer_height);
        const Range columns{column + share.begin, column + share.end};
        weight_gradients(p, scratch, tokens, {columns, shift, dweight_ih, side, dweight, side_width}, worker);
    };
    const auto sums = [&](S* to, Index column, Index count) {
        if (!to) return;
        const Range share = worker.part(count, outer_height);
        bias_gradients(scratch, tokens, {column + share.begin, column + share.end}, column, to);
    };
    const bool together = l.input == l.normed && candidate < 0;
    products(l.input, width(), l.input, d.weight_ih, scratch.h, together ? d.weight_hh : nullptr, P);
    if (!together && d.weight_hh) {
        const Index before = candidate < 0 ? sizes.gates : candidate, after = sizes.gates - before;
        products(l.normed, before * H, l.normed, nullptr, scratch.h, d.weight_hh, P);
        if (after > 0) products(l.normed + candidate * H, H, l.normed, nullptr, scratch.candidate, d.weight_hh, P);
        if (after > 1)
            products(l.normed + (candidate + 1) * H, (after - 1) * H, l.normed, nullptr, scratch.h, d.weight_hh, P);
    }
    if (d.weight_skip) products(l.normed, width(), l.normed, nullptr, scratch.past, d.weight_skip, P);
    if (d.weight_inner) products(l.normed, width(), l.normed, nullptr, scratch.inner, d.weight_inner, H);
    const Index context = context_column();
    if (scratch.context) products(context, width(), context, nullptr, scratch.context, d.weight_context, sizes.context);
    if (scratch.dcontexts) {
        Product<S> product{scratch.a, scratch.dcontexts, weights.w_context_rows, nullptr, width(), sizes.context};
        product.a0 = context;
        product.accumulate = true;
        const Range own = worker.part(tokens, max_rows<panel_vectors>);
        multiply_panels(product, own.begin, own.end);
    }
    if (d.weight_hr) products(l.projected, P, l.projected, nullptr, scratch.q, d.weight_hr, H);
    sums(d.bias_ih, l.gates, width());
    sums(d.bias_hh, l.recurrent, width());
    sums(d.bias_hr, l.projected, P);
    sums(d.weight_peephole, l.peephole, peepholes() * H);
    sums(d.gain_ih, l.gain_ih, width());
    sums(d.gain_hh, l.gain_hh, width());
    sums(d.gain_c, l.gain_c, H);
    sums(d.bias_c, l.bias_c, H);
    if (d.leak) sums(shared_leak ? scratch.dleak : d.leak, l.leak, H);
}

// What is summed over the whole pass: the gradients of the state's outputs, of a context of all steps and of a leak of
// all units.
template <class S>
void Variant<S>::finish_backward(const BackwardRows<S>& rows, Index end) const {
    const BackwardProblem<S>& p = *rows.problem;
    const BackwardScratch<S>& chunk = *rows.chunk;
    const Worker& worker = *rows.worker;
    const Index N = p.batch.N, past = sizes.skip * sizes.P, C = sizes.context;
    const Range outputs = sizes.P == sizes.H ? rows.units : rows.share->columns(sizes.P, grain, worker);
    const bool kept_apart = p.resumed;  // resets go to the state that the whole pass began with
    for (Index row = rows.begin; past && (!kept_apart || p.drestart.past) && row < end; ++row) {
        const S* const cut = chunk.dpast + row * past;
        S* const to = (kept_apart ? p.drestart.past : p.dinitial.past) + p.batch.order[row] * past;
        for (Index k = 0; k < past; k += sizes.P)
            for (Index j = outputs.begin; j < outputs.end; ++j)
                to[k + j] = kept_apart ? cut[k + j] : to[k + j] + cut[k + j];
    }
    if (p.resumed) return;  // an earlier segment of the pass completes the sums
    worker.barrier();
    if (shared_leak && p.d.leak && worker.rank == 0) {
        LaneSum<S> sum;
        sum.add(sizes.H, [&](Index i) { return load_first(chunk.dleak + i, sizes.H - i); });
        *p.d.leak += sum.total();
    }
    if (!chunk.dcontext) return;
    const auto [first, last] = worker.part(width());
    for (Index row = 0; row < N; ++row) {
        const S* const context = p.options.context + p.batch.order[row] * C;
        const S* const d = chunk.dcontext + row * width();
        for (Index m = first; m < last; ++m)
            for (Index j = 0; j < C; ++j) p.d.weight_context[m * C + j] += d[m] * context[j];
        if (!p.d.context || row % worker.size != worker.rank) continue;
        S* const to = p.d.context + p.batch.order[row] * C;
        for (Index m = 0; m < width(); ++m)
            for (Index j = 0; j < C; ++j) to[j] += d[m] * weights.context_rows[m * C + j];
    }
}

}  // namespace fastrnn

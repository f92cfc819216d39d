// Backpropagation through time of the variants: the loop of variant_cells.hpp backwards. It gives gradients step by
// step; what becomes of them (weights, biases, gains, inputs) is one large product each, made by the caller.
#pragma once

#include "kernels/recurrent/variant_forward.hpp"

namespace fastrnn {

// Arrays [T, N, ...] are written for every step that a row runs, those of states are added to.
template <class S>
struct VariantGradients {
    const S *dy, *dh_n, *dc_n;             // [T, N, P], [N, P], [N, H] or null
    S* dgx;                                // [T, N, G H] of the gates' sums
    S* drecurrent;                         // the same of the recurrent part where it differs (gru_after), else null
    S* dnormed;                            // before the normalisation, or null
    S* dprojected;                         // [T, N, P] of W_hr q, or null
    S* dinner;                             // [T, N, H]: normalised LSTM: of the normalised c; leak: of h; or null
    S *dh0, *dc0, *dpast;                  // [N, P], [N, H], [N, skip, P]
    S *dh_reset, *dc_reset, *dpast_reset;  // what resets send back: the same arrays, but in a segment
};

template <class S>
struct VariantBackScratch {
    VariantScratch<S> forward;
    Index H, P;
    S *dh, *dh_acc, *carry, *du, *dskip;                          // [N, P + 16]
    S *dq, *dc, *dru, *inner;                                     // [N, H + 16]
    S* ring;                                                      // [skip, N, P]
    const S **source, **projected_rows;                           // [N]
    S **du_rows, **dq_rows, **dru_rows, **dskip_rows, **dc_rows;  // [N]

    VariantBackScratch(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantGradients<S>& d,
                       Workspace& workspace)
        : forward(cell, p.batch.N, workspace), H(cell.H), P(cell.P) {
        const Index N = p.batch.N;
        for (S** part : {&dh, &dh_acc, &carry, &du, &dskip}) *part = workspace.take<S>(N * (P + 16));
        for (S** part : {&dq, &dc, &dru, &inner}) *part = workspace.take<S>(N * (H + 16));
        ring = workspace.take<S>(cell.skip * N * P);
        std::fill(ring, ring + cell.skip * N * P, S(0));
        for (const S*** list : {&source, &projected_rows}) *list = workspace.take<const S*>(N);
        for (S*** list : {&du_rows, &dq_rows, &dru_rows, &dskip_rows, &dc_rows}) *list = workspace.take<S*>(N);
        for (Index row = 0; row < N; ++row) {
            const Index n = p.batch.order[row];
            std::copy(d.dh_n + n * P, d.dh_n + (n + 1) * P, of_p(dh_acc, row));
            if (cell.has_c()) std::copy(d.dc_n + n * H, d.dc_n + (n + 1) * H, of_h(dc, row));
            du_rows[row] = of_p(du, row), dskip_rows[row] = of_p(dskip, row);
            dc_rows[row] = of_h(dc, row);
            dq_rows[row] = of_h(dq, row), dru_rows[row] = of_h(dru, row);
        }
    }

    S* of_p(S* part, Index row) const { return part + row * (P + 16); }
    S* of_h(S* part, Index row) const { return part + row * (H + 16); }
};

// The gradients of one row at one step.
template <class S>
struct VariantBackRow {
    VariantRow<S> r;
    S *dgx, *drecurrent, *dnormed, *dinner;
    S *dq, *dc, *carry, *dru, *inner;  // dc: of the carried state, before and after; carry: what flows to h' directly
    Index H;

    FASTRNN_INLINE void give(const GateView<S>& g, Index gate, Vec<S> d) const {
        store_first(dgx + gate * H + g.unit, d, g.left);
    }
};

template <class S>
void elman_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    for_units(cell, b.r, [&](const GateView<S>& g) {
        Vec<S> d = g.at(b.dq);
        if (b.r.c) d = d + g.at(b.dc);
        if (b.dinner) store_first(b.dinner + g.unit, d, g.left);
        if (cell.leak) {
            const Vec<S> a = g.at(cell.leak);
            store_first(b.carry + g.unit, fma(a, d, g.at(b.carry)), g.left);
            d = (set(S(1)) - a) * d;
        }
        b.give(g, 0, activation_gradient(cell.candidate_activation, g.kept(0), g.masked(d, b.r.mask)));
    });
}

// Of z and the candidate, whatever the reset does; gives what flows into the candidate's sum.
template <class S>
FASTRNN_INLINE Vec<S> gru_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b, const GateView<S>& g,
                                   Vec<S> d) {
    const Vec<S> z = g.kept(1), n = g.kept(2);
    b.give(g, 1, activation_gradient(cell.gate_activation, z, d * (g.at(b.r.c_prev) - g.masked(n, b.r.mask))));
    const Vec<S> dn = g.masked(d * (set(S(1)) - z), b.r.mask);
    const Vec<S> sum = activation_gradient(cell.candidate_activation, n, dn);
    b.give(g, 2, sum);
    return sum;
}

template <class S>
void gru_after_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    for_units(cell, b.r, [&](const GateView<S>& g) {
        Vec<S> d = g.at(b.dq);
        if (b.r.c) d = d + g.at(b.dc);
        const Vec<S> sum = gru_gradient(cell, b, g, d), reset = g.kept(0);
        b.give(g, 0, activation_gradient(cell.gate_activation, reset, sum * g.kept(3)));
        for (Index gate = 0; gate < 2; ++gate)
            store_first(b.drecurrent + gate * cell.H + g.unit, g.at(b.dgx + gate * cell.H), g.left);
        store_first(b.drecurrent + 2 * cell.H + g.unit, sum * reset, g.left);
        S* const to = b.r.c ? b.dc : b.carry;
        const Vec<S> kept = g.kept(1) * d;
        store_first(to + g.unit, b.r.c ? kept : kept + g.at(to), g.left);
    });
}

template <class S>
void gru_before_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    for_units(cell, b.r, [&](const GateView<S>& g) {
        const Vec<S> d = g.at(b.dq);
        gru_gradient(cell, b, g, d);
        store_first(b.carry + g.unit, fma(g.kept(1), d, g.at(b.carry)), g.left);
    });
}

template <class S>
void lstm_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    const VariantRow<S>& r = b.r;
    const LstmGates at(cell.coupled);
    S* const c = r.cell;  // c*, clipped
    S scale = S(1);
    for_units(cell, r,
              [&](const GateView<S>& g) { store_first(c + g.unit, clipped(cell, lstm_cell(cell, r, g)), g.left); });
    S* const x = cell.gain_c ? r.a : c;  // what the output's activation is given, before gain and bias
    if (cell.gain_c) scale = normalise(c, cell.H, x);
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> o = g.kept(at.o), dq = g.at(b.dq);
        Vec<S> k = g.at(x);
        if (cell.gain_c) k = fma(k, g.at(cell.gain_c), g.at(cell.bias_c));
        const Vec<S> out = activate(cell.output_activation, k);
        b.give(g, at.o, activation_gradient(cell.gate_activation, o, dq * out));
        Vec<S> dk = activation_gradient(cell.output_activation, out, dq * o);
        if (b.dinner) store_first(b.dinner + g.unit, dk, g.left);
        if (cell.gain_c) dk = dk * g.at(cell.gain_c);
        store_first(b.inner + g.unit, dk, g.left);
    });
    if (cell.gain_c) normalise_backward(x, scale, cell.H, b.inner, b.inner);
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> one = set(S(1)), carried = g.at(b.dc), before = g.at(r.c_prev);
        const Vec<S> keep = r.zone_c ? g.at(r.zone_c) : set(S(0));
        Vec<S> dc = fma(one - keep, carried, g.at(b.inner));
        if (cell.peephole[2]) dc = fma(g.at(b.dgx + at.o * cell.H), g.at(cell.peephole[2]), dc);
        if (cell.cell_clip > S(0)) {
            const Vec<S> raw = lstm_cell(cell, r, g), clip = set(cell.cell_clip);
            dc = where_positive(clip - raw, where_positive(clip + raw, dc));
        }
        const Vec<S> i = g.kept(at.i), candidate = g.kept(at.g);
        const Vec<S> f = cell.coupled ? one - i : g.kept(at.f);
        Vec<S> di = dc * g.masked(candidate, r.mask), dbefore = fma(keep, carried, dc * f);
        if (cell.coupled) di = di - dc * before;
        di = activation_gradient(cell.gate_activation, i, di);
        b.give(g, at.i, di);
        if (cell.peephole[0]) dbefore = fma(di, g.at(cell.peephole[0]), dbefore);
        if (!cell.coupled) {
            const Vec<S> df = activation_gradient(cell.gate_activation, f, dc * before);
            b.give(g, at.f, df);
            if (cell.peephole[1]) dbefore = fma(df, g.at(cell.peephole[1]), dbefore);
        }
        b.give(g, at.g, activation_gradient(cell.candidate_activation, candidate, g.masked(dc * i, r.mask)));
        store_first(b.dc + g.unit, dbefore, g.left);
    });
}

template <class S>
void mingru_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    for_units(cell, b.r, [&](const GateView<S>& g) {
        const Vec<S> d = g.at(b.dq), z = g.kept(0), n = g.kept(1);
        b.give(g, 0, activation_gradient(cell.gate_activation, z, d * (g.masked(n, b.r.mask) - g.at(b.r.h_prev))));
        b.give(g, 1, activation_gradient(cell.candidate_activation, n, g.masked(d * z, b.r.mask)));
        store_first(b.carry + g.unit, fma(set(S(1)) - z, d, g.at(b.carry)), g.left);
    });
}

template <class S>
void minlstm_variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    for_units(cell, b.r, [&](const GateView<S>& g) {
        const Vec<S> d = g.at(b.dq), f = g.kept(0), i = g.kept(1), n = g.kept(2), sum = f + i;
        const Vec<S> share = i / sum, dshare = d * (g.masked(n, b.r.mask) - g.at(b.r.h_prev)) / (sum * sum);
        b.give(g, 0, activation_gradient(cell.gate_activation, f, set(S(0)) - dshare * i));
        b.give(g, 1, activation_gradient(cell.gate_activation, i, dshare * f));
        b.give(g, 2, activation_gradient(cell.candidate_activation, n, g.masked(d * share, b.r.mask)));
        store_first(b.carry + g.unit, fma(set(S(1)) - share, d, g.at(b.carry)), g.left);
    });
}

template <class S>
void variant_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    switch (cell.kind) {
        case VariantKind::elman:
            return elman_variant_gradient(cell, b);
        case VariantKind::gru_after:
            return gru_after_variant_gradient(cell, b);
        case VariantKind::gru_before:
            return gru_before_variant_gradient(cell, b);
        case VariantKind::lstm:
            return lstm_variant_gradient(cell, b);
        case VariantKind::mingru:
            return mingru_variant_gradient(cell, b);
        case VariantKind::minlstm:
            return minlstm_variant_gradient(cell, b);
    }
}

// Of the gate r that the candidate's own product went through: dru, the gradient of r * u, becomes what flows to u.
template <class S>
void reset_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b) {
    const Index gate = cell.resets_first() ? 0 : LstmGates(cell.coupled).r;
    for_units(cell, b.r, [&](const GateView<S>& g) {
        const Vec<S> reset = g.kept(gate), d = g.at(b.dru);
        b.give(g, gate, activation_gradient(cell.gate_activation, reset, d * g.at(b.r.u)));
        store_first(b.dru + g.unit, d * reset, g.left);
    });
}

// Through the gain and the normalisation of some of the recurrent part's numbers.
template <class S>
void normalised_gradient(const VariantCell<S>& cell, const VariantBackRow<S>& b, Index begin, Index count,
                         Index which) {
    const S* const d = b.drecurrent ? b.drecurrent : b.dgx;
    S* const to = b.dnormed + begin;
    for_each_vector<S>(count, [&](Index i, Index left) {
        store_first(to + i, load_first(d + begin + i, left) * load_first(cell.gain_hh + begin + i, left), left);
    });
    normalise_backward(b.r.normed + begin, b.r.scale[which], count, to, to);
}

template <class S>
FASTRNN_INLINE void add(const S* from, Index count, S* to) {
    for_each_vector<S>(count, [&](Index i, Index left) {
        store_first(to + i, load_first(to + i, left) + load_first(from + i, left), left);
    });
}

template <class S>
VariantBackRow<S> variant_back_row(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantGradients<S>& d,
                                   const VariantBackScratch<S>& s, Index step, Index row) {
    VariantBackRow<S> b{};
    b.r = variant_row(cell, p, s.forward, step, row);
    const auto part = [&](S* array, Index width) { return array ? array + b.r.at * width : nullptr; };
    b.dgx = part(d.dgx, cell.width());
    b.drecurrent = part(d.drecurrent, cell.width());
    b.dnormed = part(d.dnormed, cell.width());
    b.dinner = part(d.dinner, cell.H);
    b.dq = s.of_h(s.dq, row);
    b.dc = s.of_h(s.dc, row);
    b.carry = s.of_p(s.carry, row);
    b.dru = s.of_h(s.dru, row);
    b.inner = s.of_h(s.inner, row);
    b.H = cell.H;
    if (p.masks.h) {
        S* const u = s.forward.u + row * cell.P;
        const S* const mask = p.masks.h + b.r.n * cell.P;
        for_each_vector<S>(cell.P, [&](Index i, Index left) {
            store_first(u + i, load_first(b.r.h_prev + i, left) * load_first(mask + i, left), left);
        });
        b.r.u = u;
    }
    return b;
}

// dh of one row, split by the zoneout into what goes through the cell (`dh`) and what h' gets directly (`carry`).
template <class S>
void output_gradient(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantGradients<S>& d,
                     const VariantBackScratch<S>& s, const VariantBackRow<S>& b, Index step, Index row) {
    const Index P = cell.P;
    const S* const dy = d.dy + b.r.at * P;
    const S* const acc = s.of_p(s.dh_acc, row);
    const S* const skipped = cell.skip ? s.ring + (step % cell.skip * p.batch.N + row) * P : nullptr;
    S* const through = d.dprojected ? d.dprojected + b.r.at * P : b.dq;
    for_each_vector<S>(P, [&](Index i, Index left) {
        Vec<S> dh = load_first(dy + i, left) + load_first(acc + i, left);
        if (skipped) dh = dh + load_first(skipped + i, left);
        const Vec<S> keep = b.r.zone_h ? load_first(b.r.zone_h + i, left) : set(S(0));
        store_first(b.carry + i, keep * dh, left);
        Vec<S> d = (set(S(1)) - keep) * dh;
        if (cell.projection != Activation::identity)
            d = activation_gradient(cell.projection, load_first(b.r.h + i, left), d);
        store_first(through + i, d, left);
    });
}

// What flows back from one row's step: to the step before it, or to the state that it started from.
template <class S>
void pass_back(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantGradients<S>& d,
               const VariantBackScratch<S>& s, const VariantBackRow<S>& b, Index step, Index row) {
    const Index P = cell.P, H = cell.H;
    S* const acc = s.of_p(s.dh_acc, row);
    const S* const du = s.of_p(s.du, row);
    const S* const mask = p.masks.h ? p.masks.h + b.r.n * P : nullptr;
    for_each_vector<S>(P, [&](Index i, Index left) {
        Vec<S> dh = load_first(b.carry + i, left);
        if (cell.w_hh) {
            Vec<S> through = load_first(du + i, left);
            if (cell.candidate >= 0) through = through + load_first(b.dru + i, left);
            dh = dh + (mask ? through * load_first(mask + i, left) : through);
        }
        store_first(acc + i, dh, left);
    });
    const bool resets = p.batch.resets(step, row);
    if (cell.skip) {
        S* const slot = s.ring + (step % cell.skip * p.batch.N + row) * P;
        const S* const dskip = s.of_p(s.dskip, row);
        const Index since = steps_since_start(p.batch, step, row, cell.skip);
        std::fill(slot, slot + P, S(0));
        S* to = slot;
        if (since < cell.skip) {
            S* const past = p.batch.resets(step - since, row) ? d.dpast_reset : d.dpast;
            to = past + (b.r.n * cell.skip + since) * P;
        }
        add(dskip, P, to);
    }
    if (step > 0 && !resets) return;
    add(acc, P, (resets ? d.dh_reset : d.dh0) + b.r.n * P);
    std::fill(acc, acc + P, S(0));
    if (!cell.has_c()) return;
    add(b.dc, H, (resets ? d.dc_reset : d.dc0) + b.r.n * H);
    std::fill(b.dc, b.dc + H, S(0));
}

template <class S>
void run_variant_backward(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantGradients<S>& d,
                          const VariantBackScratch<S>& s, VariantBackRow<S>* rows, const Worker& worker) {
    const FlushDenormals flush;
    const auto [begin, last] = p.batch.rows(worker);
    const Index H = cell.H, P = cell.P, width = cell.width();
    const Index pause = steps_between_checks(p.batch.N, H, 2 * width);
    for (Index step = p.batch.steps() - 1; step >= 0; --step) {
        if (step % pause == 0 && p.interrupt->check(worker)) return;
        const Index end = p.batch.active(step, begin, last);
        for (Index row = begin; row < end; ++row) {
            const VariantBackRow<S>& b = rows[row] = variant_back_row(cell, p, d, s, step, row);
            output_gradient(cell, p, d, s, b, step, row);
            if (cell.projected()) s.projected_rows[row] = d.dprojected + b.r.at * P;
            s.source[row] = b.dnormed ? b.dnormed : b.drecurrent ? b.drecurrent : b.dgx;
        }
        if (cell.projected())
            multiply_panels(Product<S>{s.projected_rows, s.dq_rows, cell.w_hr_rows, nullptr, P, H}, begin, end);
        for (Index row = begin; row < end; ++row) variant_gradient(cell, rows[row]);
        if (cell.candidate >= 0) {
            const Index at = cell.candidate * H;
            if (cell.normed)
                for (Index row = begin; row < end; ++row) normalised_gradient(cell, rows[row], at, H, 1);
            multiply_panels(Product<S>{s.source, s.dru_rows, cell.w_candidate_rows, nullptr, H, H, false, at}, begin,
                            end);
            for (Index row = begin; row < end; ++row) reset_gradient(cell, rows[row]);
        }
        if (cell.normed)
            for (Index row = begin; row < end; ++row) normalised_gradient(cell, rows[row], 0, cell.normed, 0);
        if (cell.w_hh) multiply_panels(Product<S>{s.source, s.du_rows, cell.w_hh_rows, nullptr, width, P}, begin, end);
        if (cell.w_inner)
            multiply_panels(Product<S>{s.source, s.dc_rows, cell.w_inner_rows, nullptr, width, H}, begin, end);
        if (cell.skip)
            multiply_panels(Product<S>{s.source, s.dskip_rows, cell.w_skip_rows, nullptr, width, P}, begin, end);
        for (Index row = begin; row < end; ++row) pass_back(cell, p, d, s, rows[row], step, row);
    }
    for (Index row = begin; row < last; ++row) {  // of a segment in which the row has no step
        if (p.batch.length[row] > 0) continue;
        const Index n = p.batch.order[row];
        add(s.of_p(s.dh_acc, row), P, d.dh0 + n * P);
        if (cell.has_c()) add(s.of_h(s.dc, row), H, d.dc0 + n * H);
    }
}

}  // namespace fastrnn

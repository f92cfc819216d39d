// What each variant of a cell does with one row at one step, forward. Gates in the tape: vanilla n; GRU r, z, n and
// with the reset after the product the candidate's recurrent part; LSTM the gates in their order; minGRU z, n; minLSTM
// f, i, n. n and g are kept as they were before a mask.
#pragma once

#include "kernels/recurrent/variant.hpp"

namespace fastrnn {

template <class S>
FASTRNN_INLINE Vec<S> activate(Activation kind, Vec<S> x) {
    const Vec<S> zero = set(S(0));
    switch (kind) {
        case Activation::sigmoid:
            return sigmoid(x);
        case Activation::tanh:
            return tanh(x);
        case Activation::relu:
            return relu(x);
        case Activation::hard_sigmoid:
            return min(max(fma(x, set(S(0.2)), set(S(0.5))), zero), set(S(1)));
        case Activation::positive:
            return sigmoid(min(x, zero)) + max(x, zero);
        default:
            return x;
    }
}

// d times the derivative, from the activation's output.
template <class S>
FASTRNN_INLINE Vec<S> activation_gradient(Activation kind, Vec<S> out, Vec<S> d) {
    const Vec<S> one = set(S(1));
    switch (kind) {
        case Activation::sigmoid:
            return d * dsigmoid(out);
        case Activation::tanh:
            return d * dtanh(out);
        case Activation::relu:
            return where_positive(out, d);
        case Activation::hard_sigmoid:
            return where_positive(out, where_positive(one - out, d * set(S(0.2))));
        case Activation::positive:
            return d - where_positive(set(S(0.5)) - out, d * (one - dsigmoid(out)));
        default:
            return d;
    }
}

// One row of arrays [.., gates, H] at one vector of units.
template <class S>
struct GateView {
    const S *gx, *a;
    S* gates;
    Index H, unit, left;

    FASTRNN_INLINE Vec<S> sum(Index gate) const { return input(gate) + recurrent(gate); }
    FASTRNN_INLINE Vec<S> input(Index gate) const { return load_first(gx + gate * H + unit, left); }
    FASTRNN_INLINE Vec<S> recurrent(Index gate) const { return load_first(a + gate * H + unit, left); }
    FASTRNN_INLINE Vec<S> keep(Index gate, Vec<S> value) const {
        store_first(gates + gate * H + unit, value, left);
        return value;
    }
    FASTRNN_INLINE Vec<S> kept(Index gate) const { return load_first(gates + gate * H + unit, left); }
    FASTRNN_INLINE Vec<S> at(const S* values) const { return load_first(values + unit, left); }
    FASTRNN_INLINE Vec<S> masked(Vec<S> value, const S* mask) const { return mask ? value * at(mask) : value; }
};

template <class S, class F>
FASTRNN_INLINE void for_units(const VariantCell<S>& cell, const VariantRow<S>& r, F&& f) {
    for (Index unit = 0; unit < cell.H; unit += lanes<S>)
        f(GateView<S>{r.gx, r.a, r.gates, cell.H, unit, cell.H - unit});
}

// keep * before + (1 - keep) * now
template <class S>
FASTRNN_INLINE Vec<S> blend(Vec<S> keep, Vec<S> before, Vec<S> now) {
    return fma(keep, before, (set(S(1)) - keep) * now);
}

template <class S>
void elman_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> n = g.masked(g.keep(0, activate(cell.candidate_activation, g.sum(0))), r.mask);
        store_first(r.q + g.unit, cell.leak ? blend(g.at(cell.leak), g.at(r.h_prev), n) : n, g.left);
        if (r.c) store_first(r.c + g.unit, n, g.left);
    });
}

template <class S>
void gru_after_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> reset = g.keep(0, activate(cell.gate_activation, g.sum(0)));
        const Vec<S> z = g.keep(1, activate(cell.gate_activation, g.sum(1)));
        const Vec<S> scaled = fma(reset, g.keep(3, g.recurrent(2)), g.input(2));
        const Vec<S> n = g.masked(g.keep(2, activate(cell.candidate_activation, scaled)), r.mask);
        const Vec<S> q = blend(z, g.at(r.c_prev), n);
        store_first(r.q + g.unit, q, g.left);
        if (r.c) store_first(r.c + g.unit, q, g.left);
    });
}

// Up to what the candidate's own product needs: r * u.
template <class S>
void gru_before_gates(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> reset = g.keep(0, activate(cell.gate_activation, g.sum(0)));
        g.keep(1, activate(cell.gate_activation, g.sum(1)));
        store_first(r.ru + g.unit, reset * g.at(r.u), g.left);
    });
}

template <class S>
void gru_before_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> n = g.masked(g.keep(2, activate(cell.candidate_activation, g.sum(2))), r.mask);
        store_first(r.q + g.unit, blend(g.kept(1), g.at(r.h_prev), n), g.left);
    });
}

// The numbers of an LSTM's gates: i, f, g, o, and r; coupled without f.
struct LstmGates {
    Index i = 0, f, g, o, r;
    explicit LstmGates(bool coupled) : f(coupled ? 0 : 1), g(coupled ? 1 : 2), o(g + 1), r(g + 2) {}
};

template <class S>
void lstm_relevance(const VariantCell<S>& cell, const VariantRow<S>& r) {
    const LstmGates at(cell.coupled);
    for_units(cell, r, [&](const GateView<S>& g) {
        store_first(r.ru + g.unit, g.keep(at.r, activate(cell.gate_activation, g.sum(at.r))) * g.at(r.u), g.left);
    });
}

// f * c' + i * g, before the clip.
template <class S>
FASTRNN_INLINE Vec<S> lstm_cell(const VariantCell<S>& cell, const VariantRow<S>& r, const GateView<S>& g) {
    const LstmGates at(cell.coupled);
    const Vec<S> i = g.kept(at.i), candidate = g.masked(g.kept(at.g), r.mask);
    return fma(cell.coupled ? set(S(1)) - i : g.kept(at.f), g.at(r.c_prev), i * candidate);
}

template <class S>
FASTRNN_INLINE Vec<S> clipped(const VariantCell<S>& cell, Vec<S> c) {
    return cell.cell_clip > S(0) ? max(min(c, set(cell.cell_clip)), set(-cell.cell_clip)) : c;
}

template <class S>
void lstm_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    const LstmGates at(cell.coupled);
    const auto peeped = [&](const GateView<S>& g, Index gate, const S* weights, const S* c) {
        return weights ? fma(g.at(weights), g.at(c), g.sum(gate)) : g.sum(gate);
    };
    for_units(cell, r, [&](const GateView<S>& g) {
        g.keep(at.i, activate(cell.gate_activation, peeped(g, at.i, cell.peephole[0], r.c_prev)));
        if (!cell.coupled) g.keep(at.f, activate(cell.gate_activation, peeped(g, at.f, cell.peephole[1], r.c_prev)));
        g.keep(at.g, activate(cell.candidate_activation, g.sum(at.g)));
        const Vec<S> c = clipped(cell, lstm_cell(cell, r, g));
        store_first(r.cell + g.unit, c, g.left);
        const Vec<S> keep = r.zone_c ? g.at(r.zone_c) : set(cell.zone_c);
        store_first(r.c + g.unit, r.zone_c || cell.zone_c != S(0) ? blend(keep, g.at(r.c_prev), c) : c, g.left);
    });
    for_units(cell, r, [&](const GateView<S>& g) {
        g.keep(at.o, activate(cell.gate_activation, peeped(g, at.o, cell.peephole[2], r.cell)));
    });
    if (cell.gain_c) normalise(r.cell, cell.H, r.cell);
    for_units(cell, r, [&](const GateView<S>& g) {
        Vec<S> c = g.at(r.cell);
        if (cell.gain_c) c = fma(c, g.at(cell.gain_c), g.at(cell.bias_c));
        store_first(r.q + g.unit, g.kept(at.o) * activate(cell.output_activation, c), g.left);
    });
}

template <class S>
void mingru_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> z = g.keep(0, activate(cell.gate_activation, g.input(0)));
        const Vec<S> n = g.masked(g.keep(1, activate(cell.candidate_activation, g.input(1))), r.mask);
        store_first(r.q + g.unit, blend(z, n, g.at(r.h_prev)), g.left);
    });
}

template <class S>
void minlstm_variant(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_units(cell, r, [&](const GateView<S>& g) {
        const Vec<S> f = g.keep(0, activate(cell.gate_activation, g.input(0)));
        const Vec<S> i = g.keep(1, activate(cell.gate_activation, g.input(1)));
        const Vec<S> n = g.masked(g.keep(2, activate(cell.candidate_activation, g.input(2))), r.mask);
        store_first(r.q + g.unit, blend(i / (f + i), n, g.at(r.h_prev)), g.left);
    });
}

// Up to the candidate's own product, of the cells that have one.
template <class S>
void variant_gates(const VariantCell<S>& cell, const VariantRow<S>& r) {
    cell.resets_first() ? gru_before_gates(cell, r) : lstm_relevance(cell, r);
}

template <class S>
void variant_step(const VariantCell<S>& cell, const VariantRow<S>& r) {
    switch (cell.kind) {
        case VariantKind::elman:
            return elman_variant(cell, r);
        case VariantKind::gru_after:
            return gru_after_variant(cell, r);
        case VariantKind::gru_before:
            return gru_before_variant(cell, r);
        case VariantKind::lstm:
            return lstm_variant(cell, r);
        case VariantKind::mingru:
            return mingru_variant(cell, r);
        case VariantKind::minlstm:
            return minlstm_variant(cell, r);
    }
}

template <class S>
void activate_projection(const VariantCell<S>& cell, const VariantRow<S>& r) {
    for_each_vector<S>(cell.P, [&](Index i, Index left) {
        store_first(r.h + i, activate(cell.projection, load_first(r.h + i, left)), left);
    });
}

// h = keep * h' + (1 - keep) * h
template <class S>
void zone(const VariantCell<S>& cell, const VariantRow<S>& r) {
    if (!r.zone_h && cell.zone_h == S(0)) return;
    for_each_vector<S>(cell.P, [&](Index i, Index left) {
        const Vec<S> keep = r.zone_h ? load_first(r.zone_h + i, left) : set(cell.zone_h);
        store_first(r.h + i, blend(keep, load_first(r.h_prev + i, left), load_first(r.h + i, left)), left);
    });
}

// What this step adds its connection over `skip` steps from.
template <class S>
const S* past_of(const VariantCell<S>& cell, const VariantProblem<S>& p, Index step, Index row) {
    const Index d = cell.skip, since = steps_since_start(p.batch, step, row, d);
    if (since == d) return p.y + p.batch.at(step - d, row) * cell.P;
    const S* const from = p.batch.resets(step - since, row) ? p.past_reset : p.past;
    return from + (p.batch.order[row] * d + since) * cell.P;
}

template <class S>
void run_variant(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantScratch<S>& s,
                 const Worker& worker) {
    const FlushDenormals flush;
    const auto [begin, last] = p.batch.rows(worker);
    const Index H = cell.H, P = cell.P, width = cell.width();
    const Index pause = steps_between_checks(p.batch.N, H, width);
    for (Index step = 0; step < p.batch.steps(); ++step) {
        if (step % pause == 0 && p.interrupt->check(worker)) return;
        const Index end = p.batch.active(step, begin, last);
        for (Index row = begin; row < end; ++row) {
            VariantRow<S>& r = s.rows[row] = variant_row(cell, p, s, step, row);
            if (p.masks.h) {
                S* const u = s.u + row * P;
                const S* const mask = p.masks.h + r.n * P;
                for_each_vector<S>(P, [&](Index i, Index left) {
                    store_first(u + i, load_first(r.h_prev + i, left) * load_first(mask + i, left), left);
                });
                r.u = u;
            }
            s.u_rows[row] = r.u, s.a_rows[row] = r.a, s.ru_rows[row] = r.ru, s.q_rows[row] = r.q, s.h_rows[row] = r.h;
            if (cell.skip) s.past_rows[row] = past_of(cell, p, step, row);
            s.c_rows[row] = r.c_prev;
        }
        if (cell.w_hh)
            multiply_panels(Product<S>{s.u_rows, s.a_rows, cell.w_hh, cell.normed ? nullptr : cell.b_hh, P, width},
                            begin, end);
        if (cell.skip)
            multiply_panels(Product<S>{s.past_rows, s.a_rows, cell.w_skip, nullptr, P, width, true}, begin, end);
        if (cell.w_inner)
            multiply_panels(Product<S>{s.c_rows, s.a_rows, cell.w_inner, nullptr, H, width, cell.w_hh != nullptr},
                            begin, end);
        if (cell.normed)
            for (Index row = begin; row < end; ++row) normalise_part(cell, s.rows[row], 0, cell.normed, 0);
        if (cell.candidate >= 0) {
            for (Index row = begin; row < end; ++row) variant_gates(cell, s.rows[row]);
            const Index at = cell.candidate * H;
            multiply_panels(Product<S>{s.ru_rows, s.a_rows, cell.w_candidate, nullptr, H, H, true, 0, at}, begin, end);
            if (cell.normed)
                for (Index row = begin; row < end; ++row) normalise_part(cell, s.rows[row], at, H, 1);
        }
        for (Index row = begin; row < end; ++row) variant_step(cell, s.rows[row]);
        if (cell.projected()) multiply_panels(Product<S>{s.q_rows, s.h_rows, cell.w_hr, cell.b_hr, H, P}, begin, end);
        if (cell.projection != Activation::identity)
            for (Index row = begin; row < end; ++row) activate_projection(cell, s.rows[row]);
        for (Index row = begin; row < end; ++row) zone(cell, s.rows[row]);
    }
}

}  // namespace fastrnn

// The LSTM with options: a step and its gradients. The tape keeps the gates in their order, g as it was before a mask.
#pragma once

#include "kernels/recurrent/variant_units.hpp"

namespace fastrnn {

// c within the clip.
template <class S>
FASTRNN_INLINE Vec<S> clipped(S clip, Vec<S> c) {
    return clip > S(0) ? max(min(c, set(clip)), set(-clip)) : c;
}

template <class S>
void Variant<S>::lstm_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const LstmGates at(coupled);
    const Index H = sizes.H;
    const Range some{rows.begin, rows.end};
    const auto peep = [&](Index gate_, const S* weight, auto&& cell) {
        for_row_units<S>(some, rows.units, H, [&](Index row, Index unit, Index left) {
            const Vec<S> c = load_first(cell(row) + unit, left);
            put_gate(rows, row, gate_, unit, fma(load_first(weight + unit, left), c, gate(rows, row, gate_, unit)));
        });
    };
    const auto c_prev = [&](Index row) { return rows.c_prev[row]; };
    const auto cell = [&](Index row) -> const S* { return rows.scratch[row] + layout.cell; };
    if (weights.peephole[0]) peep(at.i, weights.peephole[0], c_prev);
    if (weights.peephole[1]) peep(at.f, weights.peephole[1], c_prev);
    if (weights.peephole[2] && peeps_before) peep(at.o, weights.peephole[2], c_prev);
    activate_gate(rows, at.i, gate_activation);
    if (!coupled) activate_gate(rows, at.f, gate_activation);
    activate_gate(rows, at.g, candidate_activation);
    for_row_units<S>(some, rows.units, H, [&](Index row, Index unit, Index left) {
        const Index token = p.batch.at(rows.step, row);
        const Vec<S> i = gate(rows, row, at.i, unit), g = gate(rows, row, at.g, unit);
        const Vec<S> f = coupled ? set(S(1)) - i : gate(rows, row, at.f, unit);
        const Vec<S> before = load_first(rows.c_prev[row] + unit, left);
        const Vec<S> entered = i * masked(g, part(p.options.candidate_mask, token, H), unit, left);
        const Vec<S> c = clipped(cell_clip, fma(f, before, entered));
        store(rows.scratch[row] + layout.cell + unit, c);
        if (S* const tape = rows.gates[row]) {
            keep(tape, at.i, H, unit, i, left);
            if (!coupled) keep(tape, at.f, H, unit, f, left);
            keep(tape, at.g, H, unit, g, left);
            if (candidate >= 0) keep(tape, at.r, H, unit, gate(rows, row, at.r, unit), left);
        }
        store_first(rows.c[row] + unit, zoned_cell(rows, row, unit, c), left);
    });
    if (weights.peephole[2] && !peeps_before) peep(at.o, weights.peephole[2], cell);
    activate_gate(rows, at.o, gate_activation);
    if (!weights.gain_c) lstm_output(rows);
}

template <class S>
void Variant<S>::normalise_cell(const StepRows<S>& rows) const {
    const Index H = sizes.H;
    for (Index row = rows.begin; row < rows.end; ++row) {
        S* const c = rows.scratch[row] + layout.cell;
        const Moments<S> m = moments<S>(1, H, [&](Index, Index unit) { return load_first(c + unit, H - unit); });
        for_each_vector<S>(H, [&](Index unit, Index left) {
            const Vec<S> x = (load(c + unit) - set(m.mean)) * set(m.scale);
            store(c + unit, fma(x, load_first(weights.gain_c + unit, left), load_first(weights.bias_c + unit, left)));
        });
    }
}

// o times the activation of c.
template <class S>
void Variant<S>::lstm_output(const StepRows<S>& rows) const {
    const Index H = sizes.H, o = LstmGates(coupled).o;
    const Range some{rows.begin, rows.end};
    activate_rows(output_activation, rows.scratch, some, layout.cell, 1, rows.units);
    for_row_units<S>(some, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> open = gate(rows, row, o, unit);
        keep(rows.gates[row], o, H, unit, open, left);
        store_first(rows.q[row] + unit, open * load(rows.scratch[row] + layout.cell + unit), left);
    });
}

template <class S>
void Variant<S>::lstm_gradients(const BackwardRows<S>& rows) const {
    const LstmGates at(coupled);
    const Index H = sizes.H;
    for_gradients(rows, layout, H, [&](const UnitGradients<S>& g) {  // c as the step made it, before the zoneout
        const Vec<S> i = g.gate(at.i), f = coupled ? set(S(1)) - i : g.gate(at.f);
        const Vec<S> entered = i * masked(g.gate(at.g), g.candidate_mask(), g.unit, g.left);
        const Vec<S> c = clipped(cell_clip, fma(f, g.at(rows.c_prev[g.row]), entered));
        store(rows.scratch[g.row] + layout.cell_back + g.unit, c);
    });
    if (weights.gain_c) return;
    lstm_output_gradients(rows);
    lstm_cell_gradients(rows);
}

template <class S>
void Variant<S>::lstm_cell_gradients(const BackwardRows<S>& rows) const {
    for_row_units<S>({rows.begin, rows.end}, rows.units, sizes.H,
                     [&](Index row, Index unit, Index) { lstm_cell_gradients(rows, row, unit); });
}

// Of o, and of c through the output: left in `out`.
template <class S>
void Variant<S>::lstm_output_gradients(const BackwardRows<S>& rows) const {
    const Index H = sizes.H, o = LstmGates(coupled).o;
    const Range units = rows.units;
    for (Index row = rows.begin; row < rows.end; ++row) {
        S* const cell = rows.scratch[row] + layout.cell_back;
        S* const out = rows.scratch[row] + layout.out;
        S* const x = rows.scratch[row] + layout.x;
        S scale = 1;
        if (weights.gain_c) {
            const Moments<S> m = moments<S>(1, H, [&](Index, Index unit) { return load_first(cell + unit, H - unit); });
            scale = m.scale;
            for_each_vector<S>(H, [&](Index unit, Index left) {
                store_first(x + unit, (load(cell + unit) - set(m.mean)) * set(scale), left);
                const Vec<S> gain = load_first(weights.gain_c + unit, left);
                store(out + unit, fma(load_first(x + unit, left), gain, load_first(weights.bias_c + unit, left)));
            });
        } else {
            for (Index unit = units.begin; unit < units.end; unit += lanes<S>) store(out + unit, load(cell + unit));
        }
        activate_rows(output_activation, rows.scratch, {row, row + 1}, layout.out, 1, units);
        for (Index unit = units.begin; unit < units.end; unit += lanes<S>) {
            const UnitGradients<S> g{rows, layout, row, unit, H - unit, H};
            const Vec<S> open = g.gate(o), dq = g.dq(), value = load(out + unit);
            const Vec<S> dopen = g.put_gate(o, activation_gradient(gate_activation, open, dq * value));
            Vec<S> dcell = activation_gradient(output_activation, value, dq * open);
            if (weights.peephole[2]) {
                const Vec<S> seen = peeps_before ? g.at(rows.c_prev[row]) : load(cell + unit);
                g.put(layout.peephole, peepholes() - 1, dopen * seen);
            }
            if (weights.gain_c) {
                g.put(layout.bias_c, 0, dcell);
                g.put(layout.gain_c, 0, dcell * g.at(x));
                dcell = dcell * g.at(weights.gain_c);
            }
            store(out + unit, dcell);
        }
        if (!weights.gain_c) continue;
        normalise_backward<S>(
            1, H, scale, [&](Index, Index unit) { return load_first(out + unit, H - unit); },
            [&](Index, Index unit) { return load_first(x + unit, H - unit); }, [](Index, Index, Vec<S>) {},
            [&](Index, Index unit, Vec<S> d) { store_first(out + unit, d, H - unit); });
    }
}

template <class S>
void Variant<S>::lstm_cell_gradients(const BackwardRows<S>& rows, Index row, Index unit) const {
    const BackwardProblem<S>& p = *rows.problem;
    const LstmGates at(coupled);
    const Index H = sizes.H;
    const UnitGradients<S> g{rows, layout, row, unit, H - unit, H};
    const S* const mask = g.candidate_mask();
    const Vec<S> one = set(S(1)), carried = g.dc(), before = g.at(rows.c_prev[row]);
    const Vec<S> i = g.gate(at.i), candidate_value = g.gate(at.g), f = coupled ? one - i : g.gate(at.f);
    const Vec<S> entering = masked(candidate_value, mask, unit, g.left);
    Vec<S> dc = load(rows.scratch[row] + layout.out + unit), dbefore = set(S(0));
    const S* const zone = part(p.options.zone_c, p.batch.at(rows.step, row), H);
    if (zone) {
        const Vec<S> keep = g.at(zone);
        dc = fma(one - keep, carried, dc);
        dbefore = keep * carried;
    } else {
        dc = dc + carried;
    }
    if (weights.peephole[2]) {
        Vec<S>& seen = peeps_before ? dbefore : dc;
        seen = fma(g.at(rows.dgates[row] + layout.gates + at.o * H), g.at(weights.peephole[2]), seen);
    }
    g.keep_dc(zone ? carried : dc);  // after a zoneout, the output reads another c
    if (cell_clip > S(0)) {
        const Vec<S> raw = fma(f, before, i * entering), clip = set(cell_clip);
        dc = where_positive(max(raw, set(S(0)) - raw) - clip, set(S(0)), dc);  // a c equal to the clip is not clipped
    }
    dbefore = fma(dc, f, dbefore);
    Vec<S> di = dc * entering;
    if (coupled) di = di - dc * before;
    di = g.put_gate(at.i, activation_gradient(gate_activation, i, di));
    if (weights.peephole[0]) {
        dbefore = fma(di, g.at(weights.peephole[0]), dbefore);
        g.put(layout.peephole, 0, di * before);
    }
    if (!coupled) {
        const Vec<S> df = g.put_gate(at.f, activation_gradient(gate_activation, f, dc * before));
        if (weights.peephole[1]) {
            dbefore = fma(df, g.at(weights.peephole[1]), dbefore);
            g.put(layout.peephole, 1, df * before);
        }
    }
    g.put_gate(at.g, activation_gradient(candidate_activation, candidate_value, masked(dc * i, mask, unit, g.left)));
    store(rows.dc[row] + unit, dbefore);
}

}  // namespace fastrnn

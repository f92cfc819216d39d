// The GRU with options: a step and its gradients. The tape keeps r, z, n (as it was before a mask) and, with the reset
// after the product, the candidate's recurrent part.
#pragma once

#include "kernels/recurrent/variant_units.hpp"

namespace fastrnn {

// z between the state that is kept and the candidate.
template <class S>
void Variant<S>::gru_after_step(const StepRows<S>& rows) const {
    const Index H = sizes.H;
    activate_gate(rows, 0, gate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> reset = gate(rows, row, 0, unit), hidden = gate(rows, row, 2, unit);
        keep(rows.gates[row], 0, H, unit, reset, left);
        keep(rows.gates[row], 3, H, unit, hidden, left);
        put_gate(rows, row, 2, unit, fma(reset, hidden, load(rows.scratch[row] + layout.n + unit)));
    });
    gru_before_step(rows);
}

template <class S>
void Variant<S>::gru_before_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 1, gate_activation);
    activate_gate(rows, 2, candidate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> z = gate(rows, row, 1, unit);
        Vec<S> n = gate(rows, row, 2, unit);
        if (kind == CellKind::gru_before) keep(rows.gates[row], 0, H, unit, gate(rows, row, 0, unit), left);
        keep(rows.gates[row], 1, H, unit, z, left);
        keep(rows.gates[row], 2, H, unit, n, left);
        n = masked(n, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        const S* const before = p.arrays.c ? rows.c_prev[row] : rows.h_prev[row];
        const Vec<S> q = blend(z, load_first(before + unit, left), n);
        if (p.arrays.c) store_first(rows.c[row] + unit, q, left);
        store_first(rows.q[row] + unit, q, left);
    });
}

// Both forms: with the reset before the product, r follows in candidate_gradients.
template <class S>
void Variant<S>::gru_gradients(const BackwardRows<S>& rows) const {
    const bool after = kind == CellKind::gru_after;
    for_gradients(rows, layout, sizes.H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        const Vec<S> z = g.gate(1), n = g.gate(2);
        const Vec<S> before = g.at(sizes.carried ? rows.c_prev[g.row] : rows.h_prev[g.row]);
        const Vec<S> d = sizes.carried ? g.dq() + g.dc() : g.dq();
        const Vec<S> dz =
            g.put_gate(1, activation_gradient(gate_activation, z, d * (before - masked(n, mask, g.unit, g.left))));
        const Vec<S> dn = masked(d * (set(S(1)) - z), mask, g.unit, g.left);
        const Vec<S> sum = g.put_gate(2, activation_gradient(candidate_activation, n, dn));
        if (sizes.carried) {
            g.keep_dc(d);
            store(rows.dc[g.row] + g.unit, z * d);
        } else {
            g.carry(z * d);
        }
        if (!after) return;
        const Vec<S> reset = g.gate(0);
        const Vec<S> dr = g.put_gate(0, activation_gradient(gate_activation, reset, sum * g.gate(3)));
        g.put(layout.recurrent, 0, dr);
        g.put(layout.recurrent, 1, dz);
        g.put(layout.recurrent, 2, sum * reset);
    });
}

}  // namespace fastrnn

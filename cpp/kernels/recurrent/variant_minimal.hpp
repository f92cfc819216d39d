// The cells without a recurrent product (Feng et al. 2024): steps and their gradients. The tape keeps z, n of the
// minGRU and f, i, n of the minLSTM, n as it was before a mask.
#pragma once

#include "kernels/recurrent/variant_units.hpp"

namespace fastrnn {

template <class S>
void Variant<S>::mingru_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 0, gate_activation);
    activate_gate(rows, 1, candidate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> z = gate(rows, row, 0, unit);
        Vec<S> n = gate(rows, row, 1, unit);
        keep(rows.gates[row], 0, H, unit, z, left);
        keep(rows.gates[row], 1, H, unit, n, left);
        n = masked(n, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        store_first(rows.q[row] + unit, blend(z, n, load_first(rows.h_prev[row] + unit, left)), left);
    });
}

template <class S>
void Variant<S>::mingru_gradients(const BackwardRows<S>& rows) const {
    for_gradients(rows, layout, sizes.H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        const Vec<S> d = g.dq(), z = g.gate(0), n = g.gate(1);
        const Vec<S> change = masked(n, mask, g.unit, g.left) - g.at(rows.h_prev[g.row]);
        g.put_gate(0, activation_gradient(gate_activation, z, d * change));
        g.put_gate(1, activation_gradient(candidate_activation, n, masked(d * z, mask, g.unit, g.left)));
        g.carry((set(S(1)) - z) * d);
    });
}

template <class S>
void Variant<S>::minlstm_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 0, gate_activation);
    activate_gate(rows, 1, gate_activation);
    activate_gate(rows, 2, candidate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> f = gate(rows, row, 0, unit), i = gate(rows, row, 1, unit);
        Vec<S> n = gate(rows, row, 2, unit);
        keep(rows.gates[row], 0, H, unit, f, left);
        keep(rows.gates[row], 1, H, unit, i, left);
        keep(rows.gates[row], 2, H, unit, n, left);
        n = masked(n, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        store_first(rows.q[row] + unit, blend(i / (f + i), n, load_first(rows.h_prev[row] + unit, left)), left);
    });
}

template <class S>
void Variant<S>::minlstm_gradients(const BackwardRows<S>& rows) const {
    for_gradients(rows, layout, sizes.H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        const Vec<S> d = g.dq(), f = g.gate(0), i = g.gate(1), n = g.gate(2), sum = f + i, fraction = i / sum;
        const Vec<S> change = masked(n, mask, g.unit, g.left) - g.at(rows.h_prev[g.row]);
        const Vec<S> dfraction = d * change / (sum * sum);
        g.put_gate(0, activation_gradient(gate_activation, f, set(S(0)) - dfraction * i));
        g.put_gate(1, activation_gradient(gate_activation, i, dfraction * f));
        g.put_gate(2, activation_gradient(candidate_activation, n, masked(d * fraction, mask, g.unit, g.left)));
        g.carry((set(S(1)) - fraction) * d);
    });
}

}  // namespace fastrnn

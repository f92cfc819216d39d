// The cells without a recurrent product (Feng et al. 2024): steps and their gradients. The tape keeps z, n of the
// minGRU and f, i, n, i / (f + i) of the minLSTM, n as it was before a mask.
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

// i / (f + i) for f = sigmoid(a) and i = sigmoid(b): the paper's sigmoid(softplus(-a) - softplus(-b)), written as
// (1 + exp(-a)) / (2 + exp(-a) + exp(-b)) and divided by the largest of the three exponentials. f and i may vanish
// together, this denominator is at least 1.
template <class S>
FASTRNN_INLINE Vec<S> input_fraction(Vec<S> a, Vec<S> b) {
    const Vec<S> zero = set(S(0)), least = min(min(a, b), zero);
    const Vec<S> one = exp_of_negative(least), kept = exp_of_negative(least - a), entered = exp_of_negative(least - b);
    const Vec<S> sum = one + kept;
    return sum / (sum + (one + entered));
}

template <class S>
void Variant<S>::minlstm_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 2, candidate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> a = gate(rows, row, 0, unit), b = gate(rows, row, 1, unit), fraction = input_fraction(a, b);
        Vec<S> n = gate(rows, row, 2, unit);
        if (S* const tape = rows.gates[row]) {
            keep(tape, 0, H, unit, sigmoid(a), left);
            keep(tape, 1, H, unit, sigmoid(b), left);
            keep(tape, 2, H, unit, n, left);
            keep(tape, 3, H, unit, fraction, left);
        }
        n = masked(n, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        store_first(rows.q[row] + unit, blend(fraction, n, load_first(rows.h_prev[row] + unit, left)), left);
    });
}

template <class S>
void Variant<S>::minlstm_gradients(const BackwardRows<S>& rows) const {
    for_gradients(rows, layout, sizes.H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        const Vec<S> d = g.dq(), n = g.gate(2), fraction = g.gate(3), one = set(S(1));
        const Vec<S> change = masked(n, mask, g.unit, g.left) - g.at(rows.h_prev[g.row]);
        const Vec<S> slope = d * change * dsigmoid(fraction);  // of a sigmoid of log i - log f
        g.put_gate(0, slope * (g.gate(0) - one));
        g.put_gate(1, slope * (one - g.gate(1)));
        g.put_gate(2, activation_gradient(candidate_activation, n, masked(d * fraction, mask, g.unit, g.left)));
        g.carry((one - fraction) * d);
    });
}

}  // namespace fastrnn

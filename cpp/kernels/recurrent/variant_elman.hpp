// The vanilla cell with options, and the hidden units of a Jordan network: a step and its gradients. The tape keeps n,
// as it was before a mask.
#pragma once

#include "kernels/recurrent/variant_units.hpp"

namespace fastrnn {

template <class S>
void Variant<S>::elman_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 0, candidate_activation);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        Vec<S> n = gate(rows, row, 0, unit);
        keep(rows.gates[row], 0, H, unit, n, left);
        n = masked(n, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        if (p.arrays.c) store_first(rows.c[row] + unit, zoned_cell(rows, row, unit, n), left);
        if (weights.leak)
            n = blend(load_first(weights.leak + unit, left), load_first(rows.h_prev[row] + unit, left), n);
        store_first(rows.q[row] + unit, n, left);
    });
}

template <class S>
void Variant<S>::elman_gradients(const BackwardRows<S>& rows) const {
    for_gradients(rows, layout, sizes.H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        Vec<S> d = g.dq();
        if (sizes.carried) {
            const S* const zone = part(rows.problem->options.zone_c, rows.problem->batch.at(rows.step, g.row), sizes.H);
            const Vec<S> carried = g.dc(), kept = zone ? g.at(zone) * carried : set(S(0));
            g.keep_dc(zone ? carried : d + carried);
            d = d + (carried - kept);
            store(rows.dc[g.row] + g.unit, kept);
        }
        if (weights.leak) {
            const Vec<S> a = g.at(weights.leak), rest = set(S(1)) - a, before = g.at(rows.h_prev[g.row]);
            if (learned_leak)  // a is the sigmoid of the parameter
                g.put(layout.leak, 0, d * (before - masked(g.gate(0), mask, g.unit, g.left)) * a * rest);
            g.carry(a * d);
            d = rest * d;
        }
        g.put_gate(0, activation_gradient(candidate_activation, g.gate(0), masked(d, mask, g.unit, g.left)));
    });
}

}  // namespace fastrnn

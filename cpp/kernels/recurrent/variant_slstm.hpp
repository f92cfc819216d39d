// The sLSTM with options: a step and its gradients. The tape keeps i, log f, z, o as the plain cell's, z as it was
// before a mask; the carried state is c, n and m side by side.
#pragma once

#include "kernels/recurrent/slstm.hpp"
#include "kernels/recurrent/variant_units.hpp"

namespace fastrnn {

template <class S>
void Variant<S>::slstm_step(const StepRows<S>& rows) const {
    const ForwardProblem<S>& p = *rows.problem;
    const Index H = sizes.H;
    activate_gate(rows, 2, Activation::tanh);
    activate_gate(rows, 3, Activation::sigmoid);
    for_row_units<S>({rows.begin, rows.end}, rows.units, H, [&](Index row, Index unit, Index left) {
        const Vec<S> log_f = log_sigmoid(gate(rows, row, 1, unit)), z = gate(rows, row, 2, unit);
        const Vec<S> o = gate(rows, row, 3, unit);
        const Vec<S> entering = masked(z, part(p.options.candidate_mask, p.batch.at(rows.step, row), H), unit, left);
        const auto before = SlstmMemory<S>::load(rows.c_prev[row] + unit, H, left);
        const auto [i, memory] = SlstmUpdate<S>(gate(rows, row, 0, unit), log_f, entering, before);
        memory.store(rows.c[row] + unit, H, left);
        store_first(rows.q[row] + unit, o * (memory.c / memory.n), left);
        keep(rows.gates[row], 0, H, unit, i, left);
        keep(rows.gates[row], 1, H, unit, log_f, left);
        keep(rows.gates[row], 2, H, unit, z, left);
        keep(rows.gates[row], 3, H, unit, o, left);
    });
}

template <class S>
void Variant<S>::slstm_gradients(const BackwardRows<S>& rows) const {
    const Index H = sizes.H;
    for_gradients(rows, layout, H, [&](const UnitGradients<S>& g) {
        const S* const mask = g.candidate_mask();
        const Vec<S> z = g.gate(2), entering = masked(z, mask, g.unit, g.left);
        const auto memory = SlstmMemory<S>::load(rows.c[g.row] + g.unit, H, g.left);
        const auto before = SlstmMemory<S>::load(rows.c_prev[g.row] + g.unit, H, g.left);
        const SlstmGradients<S> d(g.dq(), g.gate(0), g.gate(1), entering, g.gate(3), memory, before,
                                  memory_gradient(rows, H, g.row, g.unit));
        keep_memory_gradient(rows, H, g.row, g.unit, d.memory);
        d.before.store(rows.dc[g.row] + g.unit, H, g.left);
        g.put_gate(0, d.log_i);
        g.put_gate(1, d.f);
        g.put_gate(2, masked(d.z, mask, g.unit, g.left) * dtanh(z));
        g.put_gate(3, d.o);
    });
}

}  // namespace fastrnn

// What the cells with options compute for single vectors of units: activations, masks, gradients of gates.
#pragma once

#include "kernels/recurrent/variant.hpp"

namespace fastrnn {

// f(activation function of a vector): so the choice is made once for many vectors.
template <class S, class F>
FASTRNN_INLINE void with_activation(Activation activation, F&& f) {
    switch (activation) {
        case Activation::sigmoid:
            return f([](Vec<S> x) { return sigmoid(x); });
        case Activation::tanh:
            return f([](Vec<S> x) { return tanh(x); });
        case Activation::relu:
            return f([](Vec<S> x) { return relu(x); });
        case Activation::hard_sigmoid:
            return f([](Vec<S> x) { return min(max(fma(x, set(S(0.2)), set(S(0.5))), set(S(0))), set(S(1))); });
        case Activation::positive:
            return f([](Vec<S> x) { return sigmoid(min(x, set(S(0)))) + max(x, set(S(0))); });
        case Activation::identity:
            return;
    }
}

// Vectors at base + u * stride for units u of a range, in place, for some rows.
template <class S>
EIGEN_DONT_INLINE void activate_rows(Activation activation, S* const* rows, Range some, Index base, Index stride,
                                     Range units) {
    with_activation<S>(activation, [&](auto&& f) {
        for (Index row = some.begin; row < some.end; ++row) {
            S* const values = rows[row] + base;
            for (Index unit = units.begin; unit < units.end; unit += lanes<S>)
                store(values + unit * stride, f(load(values + unit * stride)));
        }
    });
}

template <class S>
void Variant<S>::activate_gate(const StepRows<S>& rows, Index gate, Activation activation) const {
    activate_rows(activation, rows.gx, {rows.begin, rows.end}, layout.gate[gate].base, layout.gate[gate].stride,
                  rows.units);
}

// d times the derivative, from the activation's output.
template <class S>
FASTRNN_INLINE Vec<S> activation_gradient(Activation activation, Vec<S> out, Vec<S> d) {
    const Vec<S> one = set(S(1));
    switch (activation) {
        case Activation::sigmoid:
            return d * dsigmoid(out);
        case Activation::tanh:
            return d * dtanh(out);
        case Activation::relu:
            return where_positive(out, d);
        case Activation::hard_sigmoid:
            return where_positive(out, where_positive(one - out, d * set(S(0.2))));
        case Activation::positive:
            return where_positive(set(S(0.5)) - out, d * dsigmoid(out), d);
        case Activation::identity:
            break;
    }
    return d;
}

// keep * before + (1 - keep) * now
template <class S>
FASTRNN_INLINE Vec<S> blend(Vec<S> keep, Vec<S> before, Vec<S> now) {
    return fma(keep, before, (set(S(1)) - keep) * now);
}

// `value` times the mask of one token, where there is one.
template <class S>
FASTRNN_INLINE Vec<S> masked(Vec<S> value, const S* mask, Index unit, Index left) {
    return mask ? value * load_first(mask + unit, left) : value;
}

// One row of an array [.., width] that may be null.
template <class S>
FASTRNN_INLINE S* part(S* array, Index row, Index width) {
    return array ? array + row * width : nullptr;
}

template <class S>
FASTRNN_INLINE void keep(S* tape, Index gate, Index H, Index unit, Vec<S> value, Index left) {
    if (tape) store_first(tape + gate * H + unit, value, left);
}

template <class S>
FASTRNN_INLINE void add_to(S* to, Vec<S> value, Index left) {
    store_first(to, load_first(to, left) + value, left);
}

// The carried state after the zoneout, of the new one.
template <class S>
FASTRNN_INLINE Vec<S> Variant<S>::zoned_cell(const StepRows<S>& rows, Index row, Index unit, Vec<S> c) const {
    const ForwardProblem<S>& p = *rows.problem;
    const S* const zone = part(p.options.zone_c, p.batch.at(rows.step, row), sizes.H);
    if (!zone && zone_c == S(0)) return c;
    const Index left = sizes.H - unit;
    return blend(zone ? load_first(zone + unit, left) : set(zone_c), load_first(rows.c_prev[row] + unit, left), c);
}

// The gradients of one row and one vector of units.
template <class S>
struct UnitGradients {
    const BackwardRows<S>& rows;
    const VariantLayout& layout;
    Index row, unit, left, H;

    FASTRNN_INLINE Vec<S> gate(Index gate) const { return load_first(rows.gates[row] + gate * H + unit, left); }
    FASTRNN_INLINE Vec<S> at(const S* values) const { return load_first(values + unit, left); }
    FASTRNN_INLINE Vec<S> dq() const { return load_first(rows.scratch[row] + layout.dq + unit, left); }
    FASTRNN_INLINE Vec<S> dc() const { return load(rows.dc[row] + unit); }
    // Keeps the gradient of c after this step, which may be more than what later steps sent back.
    FASTRNN_INLINE void keep_dc(Vec<S> d) const { keep_gradient(rows.problem->dstates.c, H, rows, row, unit, d, left); }
    // Column `column` of the token's gradients, for array `number` of H.
    FASTRNN_INLINE void put(Index column, Index number, Vec<S> d) const {
        store_first(rows.dgates[row] + column + number * H + unit, d, left);
    }
    FASTRNN_INLINE Vec<S> put_gate(Index number, Vec<S> d) const {
        put(layout.gates, number, d);
        return d;
    }
    FASTRNN_INLINE void carry(Vec<S> d) const { store(rows.dh[row] + unit, load(rows.dh[row] + unit) + d); }
    FASTRNN_INLINE const S* candidate_mask() const {
        const BackwardProblem<S>& p = *rows.problem;
        return part(p.options.candidate_mask, p.batch.at(rows.step, row), H);
    }
};

// f(UnitGradients) for this worker's units of all rows.
template <class S, class F>
FASTRNN_INLINE void for_gradients(const BackwardRows<S>& rows, const VariantLayout& layout, Index H, F&& f) {
    for_row_units<S>({rows.begin, rows.end}, rows.units, H,
                     [&](Index row, Index unit, Index left) { f(UnitGradients<S>{rows, layout, row, unit, left, H}); });
}

}  // namespace fastrnn

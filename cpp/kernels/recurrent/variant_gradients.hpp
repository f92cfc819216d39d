// The gradients of the inputs and parameters of a cell with options: products and sums over the tokens of a chunk.
#pragma once

#include "kernels/recurrent/variant_backward.hpp"

namespace fastrnn {

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
    if (p.input.x) project(scratch.x, rows, tokens, {0, H}, {});
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
                                     const Worker& worker, int piece) const {
    const Index H = sizes.H, P = sizes.P;
    const VariantLayout& l = layout;
    const auto& d = p.d;
    const auto products = [&](Index column, Index count, Index shift, S* dweight_ih, const S** side, S* dweight,
                              Index side_width) {
        const Range share = worker.part(count, piece, outer_height);
        const Range columns{column + share.begin, column + share.end};
        weight_gradients(p, scratch, tokens, {columns, shift, dweight_ih, side, dweight, side_width}, worker);
    };
    const auto sums = [&](S* to, Index column, Index count) {
        if (!to) return;
        const Range share = worker.part(count, piece, outer_height);
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
        const Range own = worker.part(tokens, piece, max_rows<panel_vectors>);
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

// What is summed over the whole pass: the gradients of a context of all steps and of a leak of all units.
template <class S>
void Variant<S>::finish_sums(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                             const Worker& worker) const {
    if (p.resumed) return;  // an earlier segment of the pass completes the sums
    const Index C = sizes.context;
    worker.share([&](int piece) {
        if (shared_leak && p.d.leak && piece == 0) {
            LaneSum<S> sum;
            sum.add(sizes.H, [&](Index i) { return load_first(scratch.dleak + i, sizes.H - i); });
            *p.d.leak += sum.total();
        }
        if (!scratch.dcontext) return;
        const auto [first, last] = worker.part(width(), piece);
        for (Index row = 0; row < p.batch.N; ++row) {
            const S* const context = p.options.context + p.batch.order[row] * C;
            const S* const d = scratch.dcontext + row * width();
            for (Index m = first; m < last; ++m)
                for (Index j = 0; j < C; ++j) p.d.weight_context[m * C + j] += d[m] * context[j];
            if (!p.d.context || row % worker.pieces != piece) continue;
            S* const to = p.d.context + p.batch.order[row] * C;
            for (Index m = 0; m < width(); ++m)
                for (Index j = 0; j < C; ++j) to[j] += d[m] * weights.context_rows[m * C + j];
        }
    });
}

}  // namespace fastrnn

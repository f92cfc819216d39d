// The variants of the cells: projection, peepholes, coupled gates, normalisation inside the recurrence, zoneout,
// dropout of states and candidates, leaks, connections over several steps, other activations, and the cells without a
// recurrent product. One path for all of them, which the plain cells do not take. Here is what it is given and the loop
// over time; what a cell does at one step is in variant_cells.hpp, the way back in variant_bptt.hpp.
//
//   u = h' * mask_h                                 h': the output before this step, [P]; c': the carried state, [H]
//   A = W_hh u + W_skip h(t - d) + b_hh             or LN(W_hh u) * gain_hh + b_hh
//   q, c = cell(gx + A, c')                         gx: the input part, made before by one large product
//   h = zoneout(h', q)                              or of f(W_hr q + b_hr), [P]
//
// A Jordan network is a vanilla cell whose projection is its output: W_hh feeds the output back, W_inner, where there
// is one, the hidden units beside it.
//
// The caller owns everything. Outputs must not overlap inputs. The tape keeps gates [T, N, K, H], c [T, N, H], where
// projected q [T, N, H], and where normalised the recurrent part before its gain [T, N, G H] and 1 / deviation [T, N].
#pragma once

#include <cmath>

#include "kernels/matrix/packing.hpp"
#include "kernels/matrix/product.hpp"
#include "kernels/recurrent/ragged_batch.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/activations.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

enum class VariantKind { elman, gru_after, gru_before, lstm, mingru, minlstm };
enum class Activation { sigmoid, tanh, relu, identity, hard_sigmoid, positive };

// A cell as a snapshot of weights and options. Panels are plain; what a cell does not have is null.
template <class S>
struct VariantCell {
    VariantKind kind;
    Index H, P, gates;     // P: width of h
    Index kept;            // arrays of H a step and row in the tape's gates
    Index skip = 0;        // steps that the connection weight_skip goes over
    bool coupled = false;  // f = 1 - i
    Index candidate = -1;  // the gate whose product with h' is taken behind a gate's: it has its own panels
    Index normed = 0;      // of the recurrent part's G H numbers, those normalised together; 0: none
    Activation gate_activation, candidate_activation, output_activation;
    S cell_clip = 0;                 // 0: none
    S zone_h = 0, zone_c = 0;        // zoneout in inference
    const S* w_hh = nullptr;         // of u W_hh^T [P] -> [G H]; the candidate's rows zero where it has its own
    const S* w_candidate = nullptr;  // [H] -> [H]
    const S* w_skip = nullptr;       // [P] -> [G H]
    const S* w_hr = nullptr;         // [H] -> [P]
    const S* w_inner = nullptr;      // of c' [H] -> [G H]
    const S* w_inner_rows = nullptr;
    const S* b_hr = nullptr;  // [P], padded; null: no bias
    Activation projection = Activation::identity;
    const S *w_hh_rows = nullptr, *w_candidate_rows = nullptr, *w_skip_rows = nullptr, *w_hr_rows = nullptr;  // BPTT
    const S *b_hh = nullptr, *gain_hh = nullptr;   // [G H], padded
    const S* peephole[3] = {};                     // of i, f, o: [H]
    const S *gain_c = nullptr, *bias_c = nullptr;  // [H]
    const S* leak = nullptr;                       // [H]

    Index width() const { return gates * H; }
    bool projected() const { return w_hr != nullptr; }
    bool has_c() const {
        return kind == VariantKind::lstm || w_inner || (kind == VariantKind::gru_after && projected());
    }
    bool resets_first() const { return kind == VariantKind::gru_before; }
    // Of gru_after: the candidate's recurrent part is scaled by r.
    bool scales_candidate() const { return kind == VariantKind::gru_after; }
};

// Masks, all null in inference. Indices are the arrays' own times and rows.
template <class S>
struct VariantMasks {
    const S* h = nullptr;          // [N, P] on h' in the recurrent product
    const S* candidate = nullptr;  // [T, N, H]
    const S* zone_h = nullptr;     // [T, N, P] 1 where h' is kept
    const S* zone_c = nullptr;     // [T, N, H]
};

template <class S>
struct VariantProblem {
    Batch batch;
    const S* gx;              // [T, N, G H], the input's bias in it
    const S *h0, *c0, *past;  // [N, P], [N, H] or null, [N, skip, P] or null: the last h's, oldest first
    const S *h_reset, *c_reset, *past_reset;  // where a reset goes back to
    VariantMasks<S> masks;
    bool training;
    S* y;               // [T, N, P]
    S* c;               // [T, N, H] in training, else [N, H]
    S *gates, *q;       // [T, N, kept, H], [T, N, H]; null in inference
    S *normed, *scale;  // [T, N, G H], [T, N, 2]; null in inference or where nothing is normalised
    Interrupt* interrupt;
};

// Where one row's data lie at one step.
template <class S>
struct VariantRow {
    Index at, n;  // of [T, N] and of [N]
    const S *gx, *h_prev, *c_prev, *u;
    S *a, *h, *c, *gates, *q, *ru, *cell, *normed, *scale;
    const S *mask, *zone_h, *zone_c;
};

// Steps since `row` last started, or `limit` where that is longer ago.
inline Index steps_since_start(const Batch& batch, Index step, Index row, Index limit) {
    for (Index k = 0; k < limit; ++k)
        if (batch.starts(step - k, row)) return k;
    return limit;
}

template <class S>
struct VariantScratch {
    Index H, P, width, padded;
    S *a, *u, *q, *ru, *cell, *gates, *normed, *scale;  // [N, ...]
    const S **u_rows, **ru_rows, **q_rows, **past_rows, **c_rows;
    S **a_rows, **h_rows;
    VariantRow<S>* rows;

    VariantScratch(const VariantCell<S>& cell_, Index N, Workspace& workspace)
        : H(cell_.H), P(cell_.P), width(cell_.width()), padded(width + 16) {
        a = workspace.take<S>(N * padded);
        if (!cell_.w_hh && !cell_.w_inner) std::fill(a, a + N * padded, S(0));
        u = workspace.take<S>(N * P);
        for (S** part : {&q, &ru, &cell}) *part = workspace.take<S>(N * (H + 16));
        gates = workspace.take<S>(N * cell_.kept * H);
        normed = workspace.take<S>(N * padded);
        scale = workspace.take<S>(N * 2);
        for (const S*** list : {&u_rows, &ru_rows, &q_rows, &past_rows, &c_rows}) *list = workspace.take<const S*>(N);
        for (S*** list : {&a_rows, &h_rows}) *list = workspace.take<S*>(N);
        rows = workspace.take<VariantRow<S>>(N);
    }
};

template <class S>
VariantRow<S> variant_row(const VariantCell<S>& cell, const VariantProblem<S>& p, const VariantScratch<S>& s,
                          Index step, Index row) {
    const Index H = cell.H, P = cell.P, at = p.batch.at(step, row), n = p.batch.order[row];
    const bool resets = p.batch.resets(step, row), starts = step == 0 || resets;
    const Index before = starts ? n : p.batch.at(step - 1, row);
    VariantRow<S> r{};
    r.at = at, r.n = n;
    r.gx = p.gx + at * cell.width();
    r.h = p.y + at * P;
    r.h_prev = (resets ? p.h_reset : starts ? p.h0 : p.y) + before * P;
    r.a = s.a + row * s.padded;
    r.gates = p.training ? p.gates + at * cell.kept * H : s.gates + row * cell.kept * H;
    r.ru = s.ru + row * (H + 16);
    r.cell = s.cell + row * (H + 16);
    r.q = !cell.projected() ? r.h : p.q ? p.q + at * H : s.q + row * (H + 16);
    r.normed = p.normed ? p.normed + at * cell.width() : s.normed + row * s.padded;
    r.scale = p.scale ? p.scale + at * 2 : s.scale + row * 2;
    if (cell.has_c()) {
        r.c = p.c + (p.training ? at : n) * H;
        r.c_prev = (resets ? p.c_reset : starts ? p.c0 : p.c) + (p.training ? before : n) * H;
    } else {
        r.c_prev = r.h_prev;
    }
    r.u = r.h_prev;
    r.mask = p.masks.candidate ? p.masks.candidate + at * H : nullptr;
    r.zone_h = p.masks.zone_h ? p.masks.zone_h + at * P : nullptr;
    r.zone_c = p.masks.zone_c ? p.masks.zone_c + at * H : nullptr;
    return r;
}

// For each vector of 0 .. count-1: f(i, what is left from i on).
template <class S, class F>
FASTRNN_INLINE void for_each_vector(Index count, F&& f) {
    for (Index i = 0; i < count; i += lanes<S>) f(i, count - i);
}

// (v - mean) / sqrt(variance + 1e-5) of `count` numbers, into `out`, which may be v; gives 1 / sqrt(...). The sums have
// a fixed number of lanes, so that the bits do not depend on the instruction set.
template <class S>
S normalise(const S* v, Index count, S* out) {
    LaneSum<S> sum, squares;
    sum.add(count, [&](Index i) { return load_first(v + i, count - i); });
    const Vec<S> mean = set(sum.total() / S(count));
    for_each_vector<S>(count, [&](Index i, Index left) { store_first(out + i, load_first(v + i, left) - mean, left); });
    squares.add(count, [&](Index i) {
        const Vec<S> d = load_first(out + i, count - i);
        return d * d;
    });
    const S scale = S(1) / std::sqrt(squares.total() / S(count) + S(1e-5));
    for_each_vector<S>(
        count, [&](Index i, Index left) { store_first(out + i, load_first(out + i, left) * set(scale), left); });
    return scale;
}

// The gradient of `normalise`: d -> scale (d - mean(d) - x mean(d x)), x what it gave.
template <class S>
void normalise_backward(const S* x, S scale, Index count, const S* d, S* out) {
    LaneSum<S> sum, along;
    sum.add(count, [&](Index i) { return load_first(d + i, count - i); });
    along.add(count, [&](Index i) { return load_first(d + i, count - i) * load_first(x + i, count - i); });
    const Vec<S> mean = set(sum.total() / S(count)), slope = set(along.total() / S(count));
    for_each_vector<S>(count, [&](Index i, Index left) {
        const Vec<S> centred = load_first(d + i, left) - mean;
        store_first(out + i, (centred - slope * load_first(x + i, left)) * set(scale), left);
    });
}

// Some of the recurrent part's numbers, from `begin` on: normalised, with their gain and bias.
template <class S>
void normalise_part(const VariantCell<S>& cell, const VariantRow<S>& r, Index begin, Index count, Index which) {
    r.scale[which] = normalise(r.a + begin, count, r.normed + begin);
    for_each_vector<S>(count, [&](Index i, Index left) {
        const Vec<S> x = load_first(r.normed + begin + i, left);
        store_first(r.a + begin + i,
                    fma(x, load_first(cell.gain_hh + begin + i, left), load_first(cell.b_hh + begin + i, left)), left);
    });
}

}  // namespace fastrnn

// The linear-chain conditional random field: log partition, marginals, likelihood and its gradients, the best path.
//
// Of a sequence of L steps, emissions e_t [K], tags y_0 .. y_{L-1}, transitions A [K, K] (from, to), start b, end c:
//   score(y) = b[y_0] + sum_t e_t[y_t] + sum_{t>0} A[y_{t-1}, y_t] + c[y_{L-1}]
//   log Z    = log sum_y exp(score(y)),   L = log Z - score(targets)   (Lafferty, McCallum, Pereira 2001)
// A step whose target is -1 is not known: then score(targets) is the log of the sum over all ways to fill it in.
//
// Forward, alpha_t[j] = log of the sum over the beginnings that end in j, less its largest:
//   a_i = exp(alpha_{t-1}[i]),  E_ij = exp(A_ij - max_i A_ij),  s_j = sum_i a_i E_ij
//   alpha_t[j] = log s_j + max_i A_ij + e_t[j] - (their largest over j)
// K exponentials and logarithms a step and K^2 multiply-adds, where log-sum-exp would take K^2 exponentials. What a_i
// and E_ij lose to underflow matters only to an s_j that is itself tiny: such a column is summed again from alpha and A
// (`exact`). The largest numbers taken away are summed in double.
// Backward, p_t = marginals of step t, q_j = p_t[j] / s_j:
//   p_{t-1}[i] = a_i sum_j E_ij q_j,   expected transitions of A_ij = E_ij sum_t a_i q_j
// needs no exponential. A forbidden tag or transition is a score of -inf.
//
// Sums over sequences run in groups of sequences whose number depends on N and K alone, and then over the groups in
// their order: the same bits for any number of threads. Memory: 3 T K scalars a thread, 2 K^2 a group.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/runtime/interrupt.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/activations.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

// What is wrong with a row.
struct CrfFault {
    enum Kind { none, not_finite, forbidden, no_path } kind = none;
    Index step = 0;  // of the emissions; of the forbidden tag: 0 the first, the length after the last
};

template <class S>
struct CrfProblem {
    Index T = 0, N = 0, K = 0;
    const S* emissions = nullptr;              // [T, N, K]
    const S* transitions = nullptr;            // [K, K], from and to; finite or -inf, as are the next two
    const S *start = nullptr, *end = nullptr;  // [K]
    const std::int64_t* lengths = nullptr;     // [N], 0 .. T
    CrfFault* faults = nullptr;                // [N]; with one, sums over rows are not added to
    Interrupt* interrupt = nullptr;
};

// All outputs are overwritten but the gradients of the parameters, which are added to.
template <class S>
struct CrfLosses {
    const std::int64_t* targets = nullptr;                          // [T, N], -1 .. K-1 in the steps of each row
    S scale = 1;                                                    // of the gradients only
    S* losses = nullptr;                                            // [N]
    S* demissions = nullptr;                                        // [T, N, K], or null: losses only
    S *dtransitions = nullptr, *dstart = nullptr, *dend = nullptr;  // [K, K], [K], [K], all or none
};

inline constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

// The scores as the loops read them: rows of `width` numbers, K rounded up, the rest "never".
template <class S>
struct CrfScores {
    Index K, width;
    S *factors, *factors_to;  // E [from][to], and [to][from]; zeros after K
    S *scores, *scores_to;    // A likewise; -inf after K
    S *column, *start, *end;  // the largest A of each column less `top`; -inf after K
    S *outside, *inside;      // 0 and 1 for a tag; -inf and 0 after K
    double top = 0;           // the largest A

    static constexpr S never = S(minus_infinity);
    // An s_j below this is summed again: underflow takes at most K times the smallest normal number from it.
    static constexpr S least = sizeof(S) == 4 ? S(1e-26) : S(1e-260);

    CrfScores(const CrfProblem<S>& p, Workspace& workspace) : K(p.K), width(round_up_to_lanes<S>(p.K)) {
        for (S** matrix : {&factors, &factors_to, &scores, &scores_to}) *matrix = workspace.take<S>(K * width);
        for (S** row : {&column, &start, &end, &outside, &inside}) *row = workspace.take<S>(width);
        std::fill(scores, scores + K * width, never);
        std::fill(scores_to, scores_to + K * width, never);
        S largest = never;
        for (Index i = 0; i < K; ++i)
            for (Index j = 0; j < K; ++j) {
                scores[i * width + j] = scores_to[j * width + i] = p.transitions[i * K + j];
                largest = std::max(largest, p.transitions[i * K + j]);
            }
        top = largest > never ? double(largest) : 0;
        for (Index j = 0; j < width; ++j) {
            const bool tag = j < K;
            start[j] = tag ? p.start[j] : never, end[j] = tag ? p.end[j] : never;
            outside[j] = tag ? S(0) : never, inside[j] = tag ? S(1) : S(0);
            column[j] = never;
            for (Index i = 0; tag && i < K; ++i) column[j] = std::max(column[j], p.transitions[i * K + j]);
        }
        for (Index i = 0; i < K; ++i)
            for (Index v = 0; v < width; v += lanes<S>)
                store(factors + i * width + v, exp_or_zero(load(scores + i * width + v) - load(column + v)));
        std::fill(factors_to, factors_to + K * width, S(0));
        for (Index i = 0; i < K; ++i)
            for (Index j = 0; j < K; ++j) factors_to[j * width + i] = factors[i * width + j];
        for (Index j = 0; j < width; ++j) column[j] -= S(top);
    }
};

// One row's steps, `width` numbers each.
template <class S>
struct CrfLattice {
    S *alpha, *a, *sums;   // [T]; a sum of 0: see `exact`
    S *p, *next, *q;       // one step: marginals of a step and of the one before, q
    unsigned char* exact;  // [T]: whether a column of the step was summed again

    static CrfLattice of(Index T, Index width, Workspace& workspace) {
        CrfLattice l;
        for (S** steps : {&l.alpha, &l.a, &l.sums}) *steps = workspace.take<S>(T * width);
        for (S** step : {&l.p, &l.next, &l.q}) *step = workspace.take<S>(width);
        l.exact = workspace.take<unsigned char>(T);
        return l;
    }
};

// One row of a problem, and the polling of interrupts while it is worked on.
template <class S>
struct CrfRow {
    const CrfProblem<S>& p;
    const Worker& worker;
    Index n, length;
    double work = 0;

    CrfRow(const CrfProblem<S>& problem, const Worker& on, Index row)
        : p(problem), worker(on), n(row), length(Index(problem.lengths[row])) {}
    const S* emissions(Index t) const { return p.emissions + (t * p.N + n) * p.K; }
    bool stopped() {
        work += double(p.K) * double(p.K) + 64;
        if (work < Interrupt::interval) return false;
        work = 0;
        return p.interrupt->check(worker);
    }
};

// out[j] = sum_i a[i] rows[i][j], in two sums of every other i, for V vectors of j.
template <int V, class S>
FASTRNN_INLINE void crf_columns(const S* a, const S* rows, Index K, Index width, S* out) {
    Vec<S> even[V], odd[V];
    for (int v = 0; v < V; ++v) even[v] = odd[v] = set(S(0));
    Index i = 0;
    for (; i + 1 < K; i += 2, rows += 2 * width) {
        const Vec<S> one = set(a[i]), two = set(a[i + 1]);
        FASTRNN_UNROLL
        for (int v = 0; v < V; ++v) {
            even[v] = fma(one, load(rows + v * lanes<S>), even[v]);
            odd[v] = fma(two, load(rows + width + v * lanes<S>), odd[v]);
        }
    }
    if (i < K)
        for (int v = 0; v < V; ++v) even[v] = fma(set(a[i]), load(rows + v * lanes<S>), even[v]);
    for (int v = 0; v < V; ++v) store(out + v * lanes<S>, even[v] + odd[v]);
}

template <class S>
void crf_product(const S* a, const S* rows, Index K, Index width, S* out) {
    for (Index j = 0; j < width;) {
        const Index vectors = (width - j) / lanes<S>;
        if (vectors >= 4)
            crf_columns<4>(a, rows + j, K, width, out + j), j += 4 * lanes<S>;
        else if (vectors >= 2)
            crf_columns<2>(a, rows + j, K, width, out + j), j += 2 * lanes<S>;
        else
            crf_columns<1>(a, rows + j, K, width, out + j), j += lanes<S>;
    }
}

// log sum_i exp(alpha_i + scores_i) of two rows of `width`; -inf if no term is more.
template <class S>
S crf_log_sum(const S* alpha, const S* scores, Index width) {
    Vec<S> most = set(CrfScores<S>::never);
    for (Index i = 0; i < width; i += lanes<S>) most = max(load(alpha + i) + load(scores + i), most);
    const S m = largest(most);
    if (!(m > CrfScores<S>::never)) return CrfScores<S>::never;
    LaneSum<S> sum;
    sum.add(width, [&](Index i) { return exp_or_zero(load(alpha + i) + load(scores + i) - set(m)); });
    return m + std::log(sum.total());
}

// Stores a step's emissions, less their largest, which it returns; adds NaN to `check` if one is not finite.
template <class S>
FASTRNN_INLINE S crf_emissions(const S* emissions, const CrfScores<S>& w, S* to, Vec<S>& check) {
    Vec<S> most = set(CrfScores<S>::never);
    for (Index j = 0; j < w.width; j += lanes<S>) {
        const Vec<S> e = load_first(emissions + j, w.K - j), x = e + load(w.outside + j);
        check = fma(e, set(S(0)), check);
        most = max(x, most);
        store(to + j, x);
    }
    const S m = largest(most);
    for (Index j = 0; j < w.width; j += lanes<S>) store(to + j, load(to + j) - set(m));
    return m;
}

// Leaves of x what is left if the tag of the step is known, takes its largest away and returns it.
template <class S>
FASTRNN_INLINE S crf_shift(S* x, Index width, std::int64_t label) {
    if (label >= 0) {
        const S kept = x[label];
        std::fill(x, x + width, CrfScores<S>::never);
        x[label] = kept;
    }
    Vec<S> most = set(CrfScores<S>::never);
    for (Index j = 0; j < width; j += lanes<S>) most = max(load(x + j), most);
    const S m = largest(most);
    for (Index j = 0; j < width; j += lanes<S>) store(x + j, load(x + j) - set(m));
    return m;
}

// x = log s + column maxima + emissions, where s are the step's sums; sums tiny columns again, if the label lets them.
template <class S>
bool crf_step(const CrfScores<S>& w, const S* before, const S* a, const S* emissions, S* sums, S* x,
              std::int64_t label) {
    crf_product(a, w.factors, w.K, w.width, sums);
    Vec<S> tiny = set(S(0));
    for (Index j = 0; j < w.width; j += lanes<S>) {
        const Vec<S> s = load(sums + j), enough = s - set(w.least);
        tiny = max(load(w.inside + j) - where_positive(enough, set(S(1))), tiny);
        const Vec<S> sum = where_positive(enough, log(s) + load(w.column + j), set(w.never));
        store(x + j, sum + load(emissions + j));
        store(sums + j, where_positive(enough, s));
    }
    if (!(largest(tiny) > S(0))) return false;
    for (Index j = 0; j < w.K; ++j)
        if (!(sums[j] > S(0)) && (label < 0 || label == j))
            x[j] = crf_log_sum(before, w.scores_to + j * w.width, w.width) - S(w.top) + emissions[j];
    return true;
}

// Fills the lattice; returns log Z, -inf if there is no path, NaN if an emission is not finite or the call is stopped.
// `labels` [T, N] may be null; an entry of -1 is no constraint.
template <class S>
double crf_forward(CrfRow<S>& row, const CrfScores<S>& w, const CrfLattice<S>& l, const std::int64_t* labels) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const Index width = w.width;
    Vec<S> check = set(S(0));
    const auto finite = [&] {
        LaneSum<S> sum;
        sum.put(0, check);
        return !std::isnan(sum.total());
    };
    double offset = 0;
    for (Index t = 0; t < row.length; ++t) {
        S* const x = l.alpha + t * width;
        const std::int64_t label = labels ? labels[t * row.p.N + row.n] : -1;
        offset += double(crf_emissions(row.emissions(t), w, l.q, check));
        if (t == 0) {
            for (Index j = 0; j < width; j += lanes<S>) store(x + j, load(l.q + j) + load(w.start + j));
        } else {
            l.exact[t] = crf_step(w, x - width, l.a + (t - 1) * width, l.q, l.sums + t * width, x, label);
            offset += w.top;
        }
        const S m = crf_shift(x, width, label);
        if (!(m > w.never)) return finite() ? minus_infinity : nan;
        offset += double(m);
        for (Index j = 0; j < width; j += lanes<S>) store(l.a + t * width + j, exp_or_zero(load(x + j)));
        if (row.stopped()) return nan;
    }
    if (!finite()) return nan;
    const S* const x = l.alpha + (row.length - 1) * width;
    for (Index j = 0; j < width; j += lanes<S>) store(l.p + j, load(x + j) + load(w.end + j));
    const S m = crf_shift(l.p, width, -1);
    if (!(m > w.never)) return minus_infinity;
    LaneSum<S> sum;
    sum.add(width, [&](Index j) {
        const Vec<S> e = exp_or_zero(load(l.p + j));
        store(l.p + j, e);
        return e;
    });
    const Vec<S> total = set(sum.total());
    for (Index j = 0; j < width; j += lanes<S>) store(l.p + j, load(l.p + j) / total);
    return offset + double(m) + std::log(double(sum.total()));
}

// Sums over the transitions of a group of rows: `products` of a_i q_j, still to be multiplied by E, and `counts` that
// are not; [K, width] each, or null.
template <class S>
struct CrfCounts {
    S *products = nullptr, *counts = nullptr;
};

// Adds the part of the columns of step t that were summed again to the marginals of the step before.
template <class S>
void crf_exact_back(const CrfScores<S>& w, const CrfLattice<S>& l, Index t, S sign, const CrfCounts<S>& to) {
    const S *const alpha = l.alpha + (t - 1) * w.width, *const sums = l.sums + t * w.width;
    for (Index j = 0; j < w.K; ++j) {
        if (sums[j] > S(0) || !(l.p[j] > S(0))) continue;
        const S* const scores = w.scores_to + j * w.width;
        const S all = crf_log_sum(alpha, scores, w.width);
        for (Index i = 0; i < w.width; i += lanes<S>) {
            // Rounding may leave a term a little above the sum of all.
            const Vec<S> share = exp_or_zero(min(load(alpha + i) + load(scores + i) - set(all), set(S(0))));
            store(l.q + i, share * set(l.p[j]));
            store(l.next + i, load(l.next + i) + load(l.q + i));
        }
        for (Index i = 0; to.counts && i < w.K; ++i) to.counts[i * w.width + j] += sign * l.q[i];
    }
}

// After `crf_forward`: calls each(t, p) with the marginals p [width] of the steps, the last first, and adds `sign`
// times the expected transitions to `to`.
template <class S, class F>
void crf_backward(CrfRow<S>& row, const CrfScores<S>& w, const CrfLattice<S>& l, S sign, const CrfCounts<S>& to,
                  F&& each) {
    const Index width = w.width;
    for (Index t = row.length - 1;; --t) {
        each(t, l.p);
        if (t == 0 || row.stopped()) return;
        const S *const sums = l.sums + t * width, *const a = l.a + (t - 1) * width;
        for (Index j = 0; j < width; j += lanes<S>) {
            const Vec<S> s = load(sums + j);
            store(l.q + j, where_positive(s, load(l.p + j) / s));
        }
        crf_product(l.q, w.factors_to, w.K, width, l.next);
        for (Index i = 0; i < width; i += lanes<S>) store(l.next + i, load(a + i) * load(l.next + i));
        if (to.products) {
            for (Index i = 0; i < w.K; ++i) {
                S* const products = to.products + i * width;
                const Vec<S> factor = set(sign * a[i]);
                for (Index j = 0; j < width; j += lanes<S>)
                    store(products + j, fma(factor, load(l.q + j), load(products + j)));
            }
        }
        if (l.exact[t]) crf_exact_back(w, l, t, sign, to);
        std::copy(l.next, l.next + width, l.p);
    }
}

// The score of a path of `length` tags, tag(t); -inf if something in it is forbidden.
template <class S, class F>
double crf_path_score(const CrfRow<S>& row, F&& tag) {
    const CrfProblem<S>& p = row.p;
    double score = double(p.start[tag(0)]) + double(p.end[tag(row.length - 1)]);
    for (Index t = 0; t < row.length; ++t) {
        score += double(row.emissions(t)[tag(t)]);
        if (t > 0) score += double(p.transitions[tag(t - 1) * p.K + tag(t)]);
    }
    return score;
}
}  // namespace fastrnn

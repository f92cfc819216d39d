// The conditional random field of a batch: losses and gradients, marginals, best paths, with rows shared among threads.
#pragma once

#include "kernels/lattice/crf.hpp"

namespace fastrnn {

// The multiply-adds of a pass that goes `ways` times over the steps.
template <class S>
double crf_work(const CrfProblem<S>& p, double ways) {
    double steps = 0;
    for (Index n = 0; n < p.N; ++n) steps += double(p.lengths[n]);
    return ways * steps * double(p.K) * (double(p.K) / double(lanes<S>) + 16);
}

// Groups of rows, each with sums of its own; their number depends on the problem alone.
template <class S>
Index crf_groups(const CrfProblem<S>& p) {
    return std::min<Index>(p.N, p.K <= 128 ? 32 : 8);
}

inline Range crf_group(Index rows, Index groups, Index group) {
    return {rows * group / groups, rows * (group + 1) / groups};
}

// Says what is wrong with a row whose log Z is not finite.
template <class S>
CrfFault crf_row_fault(const CrfRow<S>& row) {
    for (Index t = 0; t < row.length; ++t)
        for (Index j = 0; j < row.p.K; ++j)
            if (!std::isfinite(row.emissions(t)[j])) return {CrfFault::not_finite, t};
    return {CrfFault::no_path, 0};
}

// Finds the first step of a forbidden path whose tag cannot be there.
template <class S>
Index crf_forbidden_step(const CrfRow<S>& row, const std::int64_t* tags) {
    const CrfProblem<S>& p = row.p;
    const auto tag = [&](Index t) { return tags[t * p.N + row.n]; };
    if (std::isinf(p.start[tag(0)])) return 0;
    for (Index t = 1; t < row.length; ++t)
        if (std::isinf(p.transitions[tag(t - 1) * p.K + tag(t)])) return t;
    return row.length;
}

// The loss of one row; its gradients go to `d.demissions` and `to`.
template <class S>
void crf_row_loss(CrfRow<S>& row, const CrfScores<S>& w, const CrfLattice<S>& l, const CrfLosses<S>& d,
                  const CrfCounts<S>& to) {
    const CrfProblem<S>& p = row.p;
    const auto label = [&](Index t) { return d.targets[t * p.N + row.n]; };
    Index known = 0;
    for (Index t = 0; t < row.length; ++t) known += label(t) >= 0;
    if (d.demissions)
        for (Index t = known ? row.length : 0; t < p.T; ++t)
            std::fill_n(d.demissions + (t * p.N + row.n) * p.K, p.K, S(0));
    d.losses[row.n] = 0;
    if (row.length == 0) return;
    const double log_partition = crf_forward(row, w, l, nullptr);
    if (!std::isfinite(log_partition)) return void(p.faults[row.n] = crf_row_fault(row));
    if (known == 0) return;  // all ways to fill it in are all paths
    if (d.demissions) {
        const Vec<S> scale = set(d.scale);
        crf_backward(row, w, l, S(1), to, [&](Index t, const S* marginals) {
            S* const out = d.demissions + (t * p.N + row.n) * p.K;
            for (Index j = 0; j < p.K; j += lanes<S>) store_first(out + j, scale * load(marginals + j), p.K - j);
            if (known == row.length) out[label(t)] = d.scale * (marginals[label(t)] - S(1));
        });
    }
    double score;
    if (known == row.length) {
        score = crf_path_score(row, label);
        if (score == minus_infinity)
            return void(p.faults[row.n] = {CrfFault::forbidden, crf_forbidden_step(row, d.targets)});
        for (Index t = 1; to.counts && t < row.length; ++t) to.counts[label(t - 1) * w.width + label(t)] -= S(1);
    } else {
        score = crf_forward(row, w, l, d.targets);
        if (score == minus_infinity) return void(p.faults[row.n] = {CrfFault::no_path, 0});
        if (d.demissions) {
            const Vec<S> scale = set(-d.scale);
            crf_backward(row, w, l, S(-1), to, [&](Index t, const S* marginals) {
                S* const out = d.demissions + (t * p.N + row.n) * p.K;
                for (Index j = 0; j < p.K; j += lanes<S>)
                    store_first(out + j, fma(scale, load(marginals + j), load_first(out + j, p.K - j)), p.K - j);
            });
        }
    }
    d.losses[row.n] = S(std::max(0.0, log_partition - score));
}

// Adds the sums of all groups, `own` rows of them, to the gradient of the transitions.
template <class S>
void crf_add_transitions(const CrfScores<S>& w, const CrfCounts<S>* groups, Index count, Range own, S scale, S* to) {
    for (Index i = own.begin; i < own.end; ++i)
        for (Index j = 0; j < w.K; j += lanes<S>) {
            const Index at = i * w.width + j, left = w.K - j;
            Vec<S> products = load(groups[0].products + at), counts = load(groups[0].counts + at);
            for (Index g = 1; g < count; ++g) {
                products = products + load(groups[g].products + at);
                counts = counts + load(groups[g].counts + at);
            }
            S* const out = to + i * w.K + j;
            const Vec<S> sum = fma(products, load(w.factors + at), counts);
            store_first(out, fma(set(scale), sum, load_first(out, left)), left);
        }
}

// The gradients of start and end are those of the emissions of the first and the last steps.
template <class S>
void crf_add_ends(const CrfProblem<S>& p, const CrfLosses<S>& d) {
    for (Index n = 0; n < p.N; ++n) {
        if (p.lengths[n] == 0) continue;
        const S* const first = d.demissions + n * p.K;
        const S* const last = d.demissions + ((Index(p.lengths[n]) - 1) * p.N + n) * p.K;
        for (Index j = 0; j < p.K; ++j) d.dstart[j] += first[j], d.dend[j] += last[j];
    }
}

// Calls run(row, lattice, group) for every row, then after(piece, worker) for every piece, unless a row has a fault.
template <class S, class Run, class After>
void crf_rows(const CrfProblem<S>& p, const CrfScores<S>& w, double ways, int threads, Workspace& workspace, Run&& run,
              After&& after) {
    const Index groups = crf_groups(p);
    Sharing sharing = Sharing::of(int(std::min<Index>(threads, std::max<Index>(groups, 1))), crf_work(p, ways));
    if (sharing.threads > 1) sharing.pieces = int(groups);
    const Index most = p.N ? Index(*std::max_element(p.lengths, p.lengths + p.N)) : 0;
    auto* const lattices = workspace.take<CrfLattice<S>>(sharing.threads);
    for (int rank = 0; rank < sharing.threads; ++rank) lattices[rank] = CrfLattice<S>::of(most, w.width, workspace);
    run_team(sharing, [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range own = worker.part(groups, piece);
            for (Index group = own.begin; group < own.end; ++group) {
                const Range rows = crf_group(p.N, groups, group);
                for (Index n = rows.begin; n < rows.end && !p.interrupt->check(worker); ++n) {
                    CrfRow<S> row(p, worker, n);
                    run(row, lattices[worker.rank], group, n == rows.begin);
                }
            }
        });
        if (p.interrupt->stop) return;
        for (Index n = 0; n < p.N; ++n)
            if (p.faults[n].kind != CrfFault::none) return;
        worker.share([&](int piece) { after(piece, worker); });
    });
}

template <class S>
void crf_losses(const CrfProblem<S>& p, const CrfLosses<S>& d, int threads, Workspace& workspace) {
    const CrfScores<S> w(p, workspace);
    const Index groups = crf_groups(p), size = p.K * w.width;
    auto* const sums = workspace.take<CrfCounts<S>>(groups);
    for (Index g = 0; g < groups; ++g) {
        sums[g] = CrfCounts<S>{};
        if (d.dtransitions) sums[g] = {workspace.take<S>(size), workspace.take<S>(size)};
    }
    crf_rows(
        p, w, d.demissions ? 3 : 1, threads, workspace,
        [&](CrfRow<S>& row, const CrfLattice<S>& l, Index group, bool first) {
            if (first && d.dtransitions) {
                std::fill_n(sums[group].products, size, S(0));
                std::fill_n(sums[group].counts, size, S(0));
            }
            crf_row_loss(row, w, l, d, sums[group]);
        },
        [&](int piece, const Worker& worker) {
            if (!d.dtransitions || groups == 0) return;
            crf_add_transitions(w, sums, groups, worker.part(p.K, piece), d.scale, d.dtransitions);
            if (piece == 0) crf_add_ends(p, d);
        });
}

// The probability of each tag at each step [T, N, K], 0 after the end of a row, and log Z [N], 0 of an empty row.
template <class S>
void crf_marginals(const CrfProblem<S>& p, S* marginals, S* log_partition, int threads, Workspace& workspace) {
    const CrfScores<S> w(p, workspace);
    crf_rows(
        p, w, 2, threads, workspace,
        [&](CrfRow<S>& row, const CrfLattice<S>& l, Index, bool) {
            for (Index t = row.length; t < p.T; ++t) std::fill_n(marginals + (t * p.N + row.n) * p.K, p.K, S(0));
            log_partition[row.n] = 0;
            if (row.length == 0) return;
            const double all = crf_forward(row, w, l, nullptr);
            if (!std::isfinite(all)) return void(p.faults[row.n] = crf_row_fault(row));
            log_partition[row.n] = S(all);
            crf_backward(row, w, l, S(1), CrfCounts<S>{}, [&](Index t, const S* step) {
                S* const out = marginals + (t * p.N + row.n) * p.K;
                for (Index j = 0; j < p.K; j += lanes<S>) store_first(out + j, load(step + j), p.K - j);
            });
        },
        [](int, const Worker&) {});
}

// The best path of one row, and its score; false if there is none. Of equal paths, the first tags from the end.
template <class S>
bool crf_best_path(CrfRow<S>& row, const CrfScores<S>& w, const CrfLattice<S>& l, std::int64_t* paths, S* score) {
    const Index width = w.width, K = w.K;
    Vec<S> check = set(S(0));
    for (Index t = 0; t < row.length; ++t) {
        S* const x = l.alpha + t * width;
        crf_emissions(row.emissions(t), w, l.q, check);
        for (Index j = 0; j < width; j += lanes<S>) {
            Vec<S> best = load(w.start + j);
            if (t > 0) {
                best = set(w.never);
                for (Index i = 0; i < K; ++i) best = max(set(x[i - width]) + load(w.scores + i * width + j), best);
            }
            store(x + j, best + load(l.q + j));
        }
        crf_shift(x, width, -1);
        if (row.stopped()) return false;
    }
    LaneSum<S> finite;
    finite.put(0, check);
    if (std::isnan(finite.total())) return false;
    const S* ahead = w.end;
    for (Index t = row.length - 1; t >= 0; --t) {
        const S* const x = l.alpha + t * width;
        Index best = 0;
        for (Index i = 1; i < K; ++i)
            if (x[i] + ahead[i] > x[best] + ahead[best]) best = i;
        if (!(x[best] + ahead[best] > w.never)) return false;
        paths[t * row.p.N + row.n] = best;
        ahead = w.scores_to + best * width;
    }
    *score = S(crf_path_score(row, [&](Index t) { return paths[t * row.p.N + row.n]; }));
    return true;
}

// The best paths [T, N], -1 after the end of a row, and their scores [N], 0 of an empty row.
template <class S>
void crf_viterbi(const CrfProblem<S>& p, std::int64_t* paths, S* scores, int threads, Workspace& workspace) {
    const CrfScores<S> w(p, workspace);
    crf_rows(
        p, w, 1, threads, workspace,
        [&](CrfRow<S>& row, const CrfLattice<S>& l, Index, bool) {
            for (Index t = row.length; t < p.T; ++t) paths[t * p.N + row.n] = -1;
            scores[row.n] = 0;
            if (row.length > 0 && !crf_best_path(row, w, l, paths, scores + row.n))
                p.faults[row.n] = crf_row_fault(row);
        },
        [](int, const Worker&) {});
}

}  // namespace fastrnn

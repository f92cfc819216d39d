// The likeliest path of connectionist temporal classification through the frames of a row (Viterbi), for given symbols.
#pragma once

#include "kernels/lattice/ctc.hpp"

namespace fastrnn {

template <class S>
struct CtcAlignmentProblem {
    Index T = 0, N = 0, V = 0;
    CtcRows rows;
    const S* logits = nullptr;          // [T, N, V]
    std::int64_t* positions = nullptr;  // [T, N]: index of each frame's symbol in its row's target; -1: blank, padding
    double* log_probabilities = nullptr;  // of the paths [N]
    Interrupt* interrupt = nullptr;
};

// log of the sum of the exponentials of logits [V].
template <class S>
double log_sum_exp(const S* logits, Index V) {
    const double highest = *std::max_element(logits, logits + V);
    if (!std::isfinite(highest)) return highest;
    double sum = 0;
    for (Index v = 0; v < V; ++v) sum += std::exp(double(logits[v]) - highest);
    return highest + std::log(sum);
}

// Aligns row n; its target fits its frames. `best` [2 symbols + 1] holds the best path's logarithm for each state, and
// `moves` [frames, 2 symbols + 1] by how many states it came. Ties go to the smaller move.
template <class S>
void ctc_align_row(const CtcAlignmentProblem<S>& p, Index n, double* best, std::int8_t* moves) {
    const double none = -std::numeric_limits<double>::infinity();
    const std::int64_t* target = p.rows.targets + p.rows.offsets[n];
    const Index symbols = p.rows.symbols[n], frames = p.rows.frames[n], states = 2 * symbols + 1;
    std::fill(best, best + states, none);
    best[0] = 0;  // before the first frame, as in ctc_forward
    for (Index t = 0; t < frames; ++t) {
        const S* logits = p.logits + (t * p.N + n) * p.V;
        const double denominator = log_sum_exp(logits, p.V);
        for (Index s = states - 1; s >= 0; --s) {
            const bool is_symbol = s % 2 == 1;
            const Index i = s / 2;
            const bool may_skip = is_symbol && i > 0 && target[i] != target[i - 1];
            int move = 0;
            double from = best[s];
            if (s > 0 && best[s - 1] > from) from = best[s - 1], move = 1;
            if (may_skip && best[s - 2] > from) from = best[s - 2], move = 2;
            moves[t * states + s] = std::int8_t(move);
            best[s] = from + double(logits[is_symbol ? target[i] : p.rows.blank]) - denominator;
        }
    }
    Index s = symbols > 0 && best[states - 2] > best[states - 1] ? states - 2 : states - 1;
    p.log_probabilities[n] = best[s];
    for (Index t = frames - 1; t >= 0; --t) {
        p.positions[t * p.N + n] = s % 2 == 1 ? s / 2 : -1;
        s -= moves[t * states + s];
    }
    for (Index t = frames; t < p.T; ++t) p.positions[t * p.N + n] = -1;
}

template <class S>
void ctc_align(const CtcAlignmentProblem<S>& p, int threads, Workspace& workspace) {
    Index states = 1, most = 0;
    double work = 0;
    for (Index n = 0; n < p.N; ++n) {
        const Index own = 2 * p.rows.symbols[n] + 1;
        states = std::max(states, own), most = std::max(most, p.rows.frames[n] * own);
        work += double(p.rows.frames[n]) * (16.0 * double(p.V) + 4.0 * double(own));
    }
    const Sharing sharing = ctc_sharing(threads, p.N, work);
    double* const best = workspace.take<double>(sharing.threads * states);
    std::int8_t* const moves = workspace.take<std::int8_t>(sharing.threads * most);
    run_team(sharing, [&](const Worker& worker) {
        worker.share([&](int piece) {
            const auto [begin, end] = worker.part(p.N, piece);
            for (Index n = begin; n < end; ++n) {
                if (p.interrupt->check(worker)) return;
                ctc_align_row(p, n, best + worker.rank * states, moves + worker.rank * most);
            }
        });
    });
}

}  // namespace fastrnn

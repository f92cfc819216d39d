// A reservoir of leaky units with sparse recurrent weights (Lukosevicius 2012, equations 2 and 3):
//
//     h_t = (1 - a) h' + a f(W h' + u_t)        h' = h_{t-1}
//
// u_t is all that does not depend on h': input weights times input, bias, noise. Each unit has its own a.
//
// The caller owns all arrays. states [T, N, H] holds u and is overwritten by h, step by step; state [N, H] holds h_0
// and is overwritten by h_T. Nothing is kept for a backward pass: reservoirs are not trained.
// Workspace: 2 (H + lanes) scalars for a row that is computed alone, lanes times as many for rows computed together.
//
// Rows never share a sum, so a row's bits do not depend on its neighbours or on threads. Several rows are computed
// together, one in each lane: W is then read once for all of them, and their h lie side by side.
#pragma once

#include "kernels/matrix/sparse_product.hpp"
#include "kernels/runtime/interrupt.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/activations.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

enum class ReservoirUnit { tanh, relu, identity, sigmoid };

template <class S>
struct SparseReservoir {
    SparseWeights<S> weights;
    const S *kept = nullptr, *leak = nullptr;  // 1 - a and a, [round_up_to_lanes(H)], padded with 0
    ReservoirUnit unit = ReservoirUnit::tanh;
};

template <class S>
struct ReservoirProblem {
    Index T = 0, N = 0;
    S *states = nullptr, *state = nullptr;
    Interrupt* interrupt = nullptr;

    Index elements(const SparseReservoir<S>& r) const { return slice_rows<S> * r.weights.groups() + 8 * r.weights.H; }
};

// Consecutive rows of the batch that are computed together: one, or at most as many as there are lanes.
struct ReservoirRows {
    Index first = 0, count = 1;
    bool by_lanes = false;
};

// Three rows one by one take about as long as a vector of rows together.
template <class S>
inline constexpr Index least_rows_by_lanes = lanes<S> < 4 ? lanes<S> : 4;

// The i-th of the groups of rows that a batch is cut into; their number is that for which the rows are used up.
template <class S>
ReservoirRows reservoir_rows(Index N, Index i) {
    const Index whole = N / lanes<S>, rest = N % lanes<S>;
    if (i < whole) return {i * lanes<S>, lanes<S>, true};
    if (rest >= least_rows_by_lanes<S>) return {whole * lanes<S>, rest, true};
    return {whole * lanes<S> + (i - whole), 1, false};
}
template <class S>
Index count_reservoir_rows(Index N) {
    const Index whole = N / lanes<S>, rest = N % lanes<S>;
    return whole + (rest >= least_rows_by_lanes<S> ? 1 : rest);
}

template <class S>
FASTRNN_INLINE Vec<S> activate(ReservoirUnit unit, Vec<S> v) {
    switch (unit) {
        case ReservoirUnit::tanh:
            return tanh(v);
        case ReservoirUnit::relu:
            return relu(v);
        case ReservoirUnit::sigmoid:
            return sigmoid(v);
        case ReservoirUnit::identity:
            break;
    }
    return v;
}

// The steps of a group of rows, for threads to share. h' and W h' are [H + 1], or [H + 1][lanes].
template <class S>
class ReservoirSteps {
   public:
    // `scratch`: size(r, rows) scalars.
    ReservoirSteps(const SparseReservoir<S>& r, const ReservoirProblem<S>& p, ReservoirRows rows, S* scratch)
        : r_(r), p_(p), rows_(rows), H_(r.weights.H), h_(scratch), sums_(scratch + size(r, rows) / 2) {}

    static Index size(const SparseReservoir<S>& r, ReservoirRows rows) {
        return 2 * round_up_to_lanes<S>(r.weights.H + 1) * (rows.by_lanes ? lanes<S> : 1);
    }

    // Reads h_0.
    void start() {
        std::fill(h_, h_ + size(r_, rows_), S(0));
        const Index apart = rows_.by_lanes ? lanes<S> : 1;
        for (Index n = 0; n < rows_.count; ++n)
            for (Index i = 0; i < H_; ++i) h_[i * apart + n] = before(0, n)[i];
    }

    void multiply(Range slices) { multiply_sparse(r_.weights, rows_.by_lanes, slices, h_, sums_); }

    // h_t of some units, from a multiple of the lanes on.
    void finish(Index t, Range units) {
        if (!rows_.by_lanes)
            return advance(units, sums_ + units.begin, at(t, 0) + units.begin, before(t, 0) + units.begin,
                           h_ + units.begin);
        for (Index i = units.begin; i < units.end; i += lanes<S>) finish_lanes(t, i);
    }

    // Writes h_T.
    void end() const {
        for (Index n = 0; p_.T > 0 && n < rows_.count; ++n)
            std::copy(before(p_.T, n), before(p_.T, n) + H_, p_.state + (rows_.first + n) * H_);
    }

   private:
    void finish_lanes(Index t, Index i) {
        alignas(64) S tile[lanes<S> * lanes<S>];
        transpose_block(sums_ + i * lanes<S>, lanes<S>, tile, lanes<S>);
        for (Index n = 0; n < rows_.count; ++n) {
            S* const row = tile + n * lanes<S>;
            advance({i, std::min(i + lanes<S>, H_)}, row, at(t, n) + i, before(t, n) + i, row);
        }
        if (H_ - i >= lanes<S>) return transpose_block(tile, lanes<S>, h_ + i * lanes<S>, lanes<S>);
        for (Index unit = 0; unit < H_ - i; ++unit)
            for (Index n = 0; n < rows_.count; ++n) h_[(i + unit) * lanes<S> + n] = tile[n * lanes<S> + unit];
    }

    // h_t of some units of one row; pointers are those of the first. y: u_t, becomes h_t; h: a copy.
    EIGEN_DONT_INLINE void advance(Range units, const S* sums, S* y, const S* before, S* h) const {
        for (Index i = units.begin, j = 0; i < units.end; i += lanes<S>, j += lanes<S>) {
            const Index count = units.end - i;
            const Vec<S> value = activate(r_.unit, load_first(sums + j, count) + load_first(y + j, count));
            const Vec<S> next = fma(load(r_.leak + i), value, load(r_.kept + i) * load_first(before + j, count));
            store_first(y + j, next, count);
            store_first(h + j, next, count);
        }
    }

    S* at(Index t, Index n) const { return p_.states + (t * p_.N + rows_.first + n) * H_; }

    // h' of a row at step t.
    const S* before(Index t, Index n) const { return t == 0 ? p_.state + (rows_.first + n) * H_ : at(t - 1, n); }

    const SparseReservoir<S>& r_;
    const ReservoirProblem<S>& p_;
    const ReservoirRows rows_;
    const Index H_;
    S *const h_, *const sums_;
};

// All steps of a group of rows. A step is two phases, which nobody leaves before all are done.
template <class S>
void run_rows(const SparseReservoir<S>& r, const ReservoirProblem<S>& p, const Worker& worker, ReservoirRows rows,
              S* scratch) {
    ReservoirSteps<S> steps(r, p, rows, scratch);
    const Index pause = std::max<Index>(1, Index(Interrupt::interval / double(p.elements(r))));
    for (Index phase = -1; phase <= 2 * p.T; ++phase) {
        const Index t = phase / 2;
        if (phase % (2 * pause) == 0 && p.interrupt->check(worker)) return;
        worker.share([&](int piece) {
            if (phase < 0) return piece == 0 ? steps.start() : void();
            if (t == p.T) return piece == 0 ? steps.end() : void();
            phase % 2 == 0 ? steps.multiply(r.weights.part(piece, worker.pieces))
                           : steps.finish(t, worker.part(r.weights.H, piece, lanes<S>));
        });
    }
}

// Several groups of rows: each thread computes all steps of some. One group: threads share each step, if it is long.
template <class S>
void run_reservoir(const SparseReservoir<S>& r, const ReservoirProblem<S>& p, int threads, Workspace& workspace) {
    constexpr double shared_elements = 5e4;  // per thread and step, worth two meetings
    const Index groups = count_reservoir_rows<S>(p.N);
    if (groups == 0) return;
    const double step = double(p.elements(r)), work = step * double(p.T) * double(groups);
    const ReservoirRows largest = reservoir_rows<S>(p.N, 0);
    const Index size = ReservoirSteps<S>::size(r, largest);
    threads = groups == 1 ? useful_threads(threads, step, shared_elements) : int(std::min<Index>(threads, groups));
    S* const scratch = workspace.take<S>(size * threads);
    run_team(Sharing::of(threads, work), [&](const Worker& worker) {
        const FlushDenormals flush;
        if (groups == 1) return run_rows(r, p, worker, largest, scratch);
        worker.share([&](int piece) {
            const Range own = worker.part(groups, piece);
            for (Index i = own.begin; i < own.end; ++i)
                run_rows(r, p, worker.by_itself(), reservoir_rows<S>(p.N, i), scratch + worker.rank * size);
        });
    });
}

}  // namespace fastrnn

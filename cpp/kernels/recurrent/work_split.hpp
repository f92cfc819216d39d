// How a team shares the steps of a sequence: batch rows, where every worker goes its own way to the end, or, where
// rows are few, hidden units, where all meet after every step because the next one needs the whole of h.
#pragma once

#include "kernels/matrix/tile.hpp"
#include "kernels/recurrent/ragged_batch.hpp"

namespace fastrnn {

struct Split {
    int threads = 1;
    bool by_units = false;
};

// Units of plain panels are given out in whole panels.
template <class S>
inline constexpr Index unit_grain = panel_vectors * lanes<S>;

// `work`: multiply-adds of the whole sequence; `step_work`: of the recurrent product of one row at one step, which is
// also the number of weights. A meeting costs a fraction of a microsecond; few rows do not fill a tile, and by rows
// every core reads all weights: where those do not rest in its second-level cache, more rows than few are worth meeting
// for.
template <class S>
Split choose_split(const Batch& batch, Index H, double work, double step_work, int available) {
    constexpr double least_step = 1.2e4, cached_weights = 2.5e5;
    const Index most_rows = step_work > cached_weights ? 12 : 4;
    const int threads = useful_threads(available, work);
    const Index pieces = (H + unit_grain<S> - 1) / unit_grain<S>;
    const int by_rows = int(std::min<Index>(threads, batch.N)), by_units = int(std::min<Index>(threads, pieces));
    const bool worth = by_units > 1 && double(batch.N) * step_work >= least_step * by_units;
    if (worth && by_units >= by_rows && batch.N < most_rows * threads) return {by_units, true};
    return {by_rows, false};
}

// Layers of a stack can follow one another, a thread each, with fewer meetings than by units: a wave. But then each
// thread reads all weights of its layer, and few rows with large weights are better off by units. `rows_work`:
// multiply-adds of the recurrent product of all rows at one step; `crews`: layers under way at once.
inline constexpr double wave_work_per_thread = 6e5;

inline bool wave_beats(const Split& shared, double rows_work, int crews) {
    constexpr double most_rows_work = 6e4;
    if (shared.threads < crews) return true;
    return shared.threads == crews && shared.by_units && rows_work < most_rows_work;
}

// One worker's part of a step.
struct Share {
    Range rows, units;
    bool by_units;

    static Share of(const Batch& batch, Index H, Index grain, bool by_units, const Worker& worker) {
        if (by_units) return {{0, batch.N}, worker.part(H, grain), true};
        return {batch.rows(worker), {0, H}, false};
    }

    // Behind what all units have to be finished for.
    void meet(const Worker& worker) const {
        if (by_units) worker.barrier();
    }

    // Does the team have to stop? By units all workers get the same answer.
    bool stopped(Interrupt& interrupt, const Worker& worker) const {
        const bool stop = interrupt.check(worker);
        if (!by_units) return stop;
        worker.barrier();
        const bool all = interrupt.stop.load(std::memory_order_relaxed);
        worker.barrier();
        return all;
    }
};

}  // namespace fastrnn

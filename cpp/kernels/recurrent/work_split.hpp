// How a team of threads shares the steps of a sequence: by batch rows, where workers run independently, or, for skinny
// batches, by hidden units, with a barrier after every step because the next one needs all of h.
#pragma once

#include "kernels/matrix/tiling.hpp"
#include "kernels/recurrent/ragged_batch.hpp"

namespace fastrnn {

struct Split {
    int threads = 1;
    bool by_units = false;
};

// Units of plain panels are split at whole panels.
template <class S>
inline constexpr Index unit_grain = panel_vectors * lanes<S>;

// `work`: multiply-adds of the whole sequence; `step_work`: of one row's recurrent product at one step, which is also
// the number of weights. A barrier costs a fraction of a microsecond. Few rows do not fill a tile, and if split by
// rows, every core reads all weights: if these exceed its L2 cache, splitting by units pays off up to more rows.
template <class S>
Split choose_split(const RaggedBatch& batch, Index H, double work, double step_work, int available) {
    constexpr double min_step_work = 1.2e4, cached_weights = 2.5e5;
    const Index max_rows_per_thread = step_work > cached_weights ? 12 : 4;
    const int threads = useful_threads(available, work);
    const Index pieces = (H + unit_grain<S> - 1) / unit_grain<S>;
    const int by_rows = int(std::min<Index>(threads, batch.N)), by_units = int(std::min<Index>(threads, pieces));
    const bool pays_off = by_units > 1 && double(batch.N) * step_work >= min_step_work * by_units;
    if (pays_off && by_units >= by_rows && batch.N < max_rows_per_thread * threads) return {by_units, true};
    return {by_rows, false};
}

// Layers of a stack can run as a wavefront, one thread each, with fewer barriers than a split by units.
// But each thread then reads all weights of its layer: with few rows and large weights, a split by units is faster.
// `rows_work`: multiply-adds of all rows' recurrent product at one step; `groups`: layers that run at the same time.
inline constexpr double wavefront_work_per_thread = 6e5;

inline bool wavefront_is_faster(const Split& shared, double rows_work, int groups) {
    constexpr double max_rows_work = 6e4;
    if (shared.threads < groups) return true;
    return shared.threads == groups && shared.by_units && rows_work < max_rows_work;
}

// One worker's share of a step.
struct Share {
    Range rows, units;
    bool by_units;

    static Share of(const RaggedBatch& batch, Index H, Index grain, bool by_units, const Worker& worker) {
        if (by_units) return {{0, batch.N}, worker.part(H, grain), true};
        return {batch.rows(worker), {0, H}, false};
    }

    // This worker's part of another width, if units are split; else all of it.
    Range columns(Index width, Index grain, const Worker& worker) const {
        return by_units ? worker.part(width, grain) : Range{0, width};
    }

    // Waits until all workers have their units done.
    void barrier(const Worker& worker) const {
        if (by_units) worker.barrier();
    }

    // Must the team stop? If units are split, all workers get the same answer.
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

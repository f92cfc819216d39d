// How a team of threads shares the steps of a sequence: by batch rows, whose steps run independently, or, for skinny
// batches, by hidden units; then all units of a step are done before the next one, which needs all of h.
#pragma once

#include <utility>

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

// The time of a step on several threads over that on one, as measured (docs/how-it-works.md).
//
// By rows: few rows do not fill a tile, and every core reads all weights, which shows if they exceed its L2 cache.
inline double rows_ratio(double rows, int threads, double step_work) {
    constexpr double cached_weights = 2.5e5;
    const double lost = step_work > cached_weights ? 2 : 0.8;
    return threads > 1 ? (1 + lost * threads / rows) / threads : 1;
}

// By units: the largest part, a meeting, in which each core looks at all others, and h, of which a core reads from the
// others what they made.
inline double units_ratio(double rows, double H, int threads, double step_work, double largest_part) {
    constexpr double look = 6e3, number = 240;  // in multiply-adds; of one row fewer take that long
    const double apart = look * threads + number * (threads - 1) / threads * rows * H;
    return largest_part + (rows > 1 ? 1 : 0.65) * apart / (rows * step_work);
}

// `work`: multiply-adds of the whole sequence; `step_work`: of one row's recurrent product at one step, which is also
// the number of weights.
template <class S>
Split choose_split(const RaggedBatch& batch, Index H, double work, double step_work, int available) {
    constexpr Index most_rows = 12;  // of a thread; more are never split by units
    const int threads = useful_threads(available, work);
    const Index pieces = (H + unit_grain<S> - 1) / unit_grain<S>;
    const int by_rows = int(std::min<Index>(threads, batch.N)), most = int(std::min<Index>(threads, pieces));
    Split best{by_rows, false};
    if (most < by_rows || batch.N >= most_rows * threads) return best;
    const double rows = double(batch.N);
    double least = std::min(0.95, rows_ratio(rows, by_rows, step_work));
    for (int by_units = 2; by_units <= most; ++by_units) {
        const double largest = double((pieces + by_units - 1) / by_units * unit_grain<S>) / double(H);
        const double ratio = units_ratio(rows, double(H), by_units, step_work, std::min(largest, 1.0));
        if (ratio < least) least = ratio, best = {by_units, true};
    }
    return best;
}

// Layers of a stack can run as a wave, one thread each, which meet less often than in a split by units.
// But each thread then reads all weights of its layer: with few rows and large weights, a split by units is faster.
// `rows_work`: multiply-adds of all rows' recurrent product at one step; `groups`: layers that run at the same time.
inline constexpr double wave_work_per_thread = 6e5;

inline bool wave_is_faster(const Split& shared, double rows_work, int groups) {
    constexpr double max_rows_work = 6e4;
    if (shared.threads < groups) return true;
    return shared.threads == groups && shared.by_units && rows_work < max_rows_work;
}

// The rows of one piece of the work, or, split by units, all rows, whose steps the team shares.
struct Share {
    Range rows;
    Worker team;  // alone unless units are split

    static Share of_units(const RaggedBatch& batch, const Worker& worker) { return {{0, batch.N}, worker}; }
    static Share of_rows(const RaggedBatch& batch, const Worker& worker, int piece) {
        return {batch.rows(piece, worker.pieces), worker.by_itself()};
    }

    // Calls f(range) for each piece of 0 .. count-1, split at multiples of `grain`.
    template <class F>
    void parts(Index count, Index grain, F&& f) const {
        team.share([&](int piece) { f(team.part(count, piece, grain)); });
    }
};

// Calls f(rows) with the units, and the outputs, of each piece of a step.
template <class Rows, class F>
void for_units(const Rows& rows, Index H, Index P, Index grain, F&& f) {
    Rows own = rows;
    const Worker& team = rows.share->team;
    team.share([&](int piece) {
        own.units = team.part(H, piece, grain);
        own.outputs = P == H ? own.units : team.part(P, piece, grain);
        f(std::as_const(own));
    });
}

// The same with whole rows.
template <class Rows, class F>
void for_whole_rows(const Rows& rows, Index H, Index P, F&& f) {
    Rows own = rows;
    own.units = {0, H};
    own.outputs = {0, P};
    rows.share->parts(rows.end - rows.begin, 1, [&](Range some) {
        own.begin = rows.begin + some.begin;
        own.end = rows.begin + some.end;
        f(std::as_const(own));
    });
}

}  // namespace fastrnn

// The batch as the loop over time sees it: rows sorted by length, where each step's data lie, when to stop.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "kernels/runtime/parallel.hpp"

namespace fastrnn {

// Which rows run at which step, and where their data lie in an array [T, N, width].
struct Batch {
    Index T, N;
    bool reverse;         // each row walks from its own end to its beginning
    const Index* order;   // [N] the rows, longest first
    const Index* length;  // [N] their lengths, in that order
    const bool* reset;    // [T, N] or null: the row starts again from its initial state at this time

    Index steps() const { return N > 0 ? length[0] : 0; }

    Index tokens() const {
        Index sum = 0;
        for (Index row = 0; row < N; ++row) sum += length[row];
        return sum;
    }

    // The end of the rows of begin .. end-1 that still run at `step`.
    Index active(Index step, Index begin, Index end) const {
        while (end > begin && length[end - 1] <= step) --end;
        return end;
    }

    Index at(Index step, Index row) const { return (reverse ? length[row] - 1 - step : step) * N + order[row]; }

    // Does the row go back, at this step, to the state that its sequence began with?
    bool resets(Index step, Index row) const { return reset && reset[at(step, row)]; }

    bool starts(Index step, Index row) const { return step == 0 || resets(step, row); }

    // Rows of one worker: nearly equal shares of the tokens.
    Range rows(const Worker& worker) const {
        const Index total = tokens();
        Range range{N, N};
        Index before = 0;
        for (Index row = 0; row < N; ++row) {
            const Index rank = std::min<Index>(worker.size - 1, before * worker.size / total);
            if (rank == worker.rank && range.begin == N) range.begin = row;
            if (rank > worker.rank) {
                range.end = row;
                break;
            }
            before += length[row];
        }
        if (range.begin == N) range.end = N;
        return range;
    }
};

// Asked now and then by the thread that the call came on: a long call stops when it answers true.
struct Interrupt {
    bool (*poll)() = nullptr;
    std::atomic<bool> stop{false};

    // Does `worker` have to stop? To be called about once for every `interval` multiply-adds.
    bool check(const Worker& worker) {
        if (worker.calls && poll && poll()) stop.store(true);
        return stop.load(std::memory_order_relaxed);
    }

    static constexpr double interval = double(1 << 24);
};

// How far a pass has come, for another one that follows it step by step on another thread.
class Progress {
   public:
    void reach(Index steps) { done_.store(steps, std::memory_order_release); }

    // Waits until so many steps are done; false where the call is to stop before.
    bool await(Index steps, Interrupt& interrupt, const Worker& worker) const {
        for (int spins = 0; done_.load(std::memory_order_acquire) < steps; ++spins) {
            if (spins <= 4000) continue;
            if (interrupt.check(worker)) return false;
            std::this_thread::yield();
        }
        return true;
    }

   private:
    std::atomic<Index> done_{0};
};

// A pass among passes that run at the same time: `before` gives what it reads, and `own` says how far it has come
// itself. Either may be null.
struct Wave {
    const Progress* before = nullptr;
    Progress* own = nullptr;

    bool await(Index steps, Interrupt& interrupt, const Worker& worker) const {
        return !before || before->await(steps, interrupt, worker);
    }
    void reach(Index steps) const {
        if (own) own->reach(steps);
    }
    bool alone() const { return !before && !own; }
};

// Steps in one chunk: so many that its tokens fill `scalars` of `width` each, at least one.
inline Index chunk_steps(const Batch& batch, Index width, Index scalars, Index least, Index most) {
    const Index tokens = std::min(std::max(scalars / std::max<Index>(width, 1), least), most);
    return std::max<Index>(1, std::min(batch.steps(), tokens / std::max<Index>(batch.N, 1)));
}

// Steps after which a pass in a wave tells how far it is: few, as the passes behind it wait for the first of them, but
// so many that their tokens fill some tiles.
inline Index wave_steps(const Batch& batch) {
    return std::max<Index>(1, std::max(batch.steps() / 16, 6 / std::max<Index>(batch.N, 1)));
}

// Steps after which to look for an interrupt.
inline Index steps_between_checks(Index N, Index H, Index width) {
    return Index(std::max(1.0, Interrupt::interval / (double(N) * double(H) * double(width))));
}

// x [T, N, D], or ids [T, N] in 0 .. D-1, which stand for rows of the identity, or -1 for zeros: exactly one of the two
// is not null.
template <class S>
struct Input {
    const S* x;
    const std::int64_t* ids;
    Index D;
};

}  // namespace fastrnn

// One parallel region per sequence: run_team calls f(Worker) once on every thread of the team.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// A barrier that spins for a bounded time before it yields the core.
class SpinBarrier {
   public:
    explicit SpinBarrier(int size) : size_(size), waiting_(0), round_(0) {}

    void wait() {
        const int round = round_.load(std::memory_order_acquire);
        if (waiting_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
            waiting_.store(0, std::memory_order_relaxed);
            round_.fetch_add(1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins)
            if (spins > 4000) std::this_thread::yield();
    }

   private:
    const int size_;
    std::atomic<int> waiting_, round_;
};

// One thread of a team, as the kernel sees it. The split of work over ranks never splits a sum.
struct Worker {
    int rank = 0, size = 1;
    SpinBarrier* team = nullptr;
    bool calls = true;  // the thread that the call came on, which alone may ask for interrupts

    void barrier() const {
        if (size > 1) team->wait();
    }

    // This worker's part of 0 .. count-1, cut at multiples of `grain`.
    Range part(Index count, Index grain = 1) const {
        const Index pieces = (count + grain - 1) / grain;
        return {std::min(count, pieces * rank / size * grain), std::min(count, pieces * (rank + 1) / size * grain)};
    }
};

// Threads worth using for `work` multiply-adds: a region costs some microseconds to start.
inline int useful_threads(int available, double work, double work_per_thread = 4e5) {
    return int(std::max(1.0, std::min(double(available), work / work_per_thread)));
}

// Implemented by the pool (bindings/pool.cpp): runs f on up to `threads` threads; fewer, down to the caller alone, when
// the pool is busy with another region. The result never depends on how many there were.
void run_team(int threads, const std::function<void(const Worker&)>& f);

}  // namespace fastrnn

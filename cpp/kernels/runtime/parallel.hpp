// One parallel region per sequence: run_team calls f(Worker) once on each thread of a team.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// A barrier that spins for a bounded time, then yields the core.
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

// One thread of a team, as a kernel sees it. Splitting work over ranks never splits a sum.
struct Worker {
    int rank = 0, size = 1;
    SpinBarrier* team = nullptr;
    bool is_caller = true;  // the thread that made the call: it alone may poll for interrupts

    void barrier() const {
        if (size > 1) team->wait();
    }

    // This worker's part of 0 .. count-1, split at multiples of `grain`.
    Range part(Index count, Index grain = 1) const {
        const Index pieces = (count + grain - 1) / grain;
        return {std::min(count, pieces * rank / size * grain), std::min(count, pieces * (rank + 1) / size * grain)};
    }
};

// Threads worth using for `work` multiply-adds: a region takes a few microseconds to start.
inline int useful_threads(int available, double work, double work_per_thread = 4e5) {
    return int(std::max(1.0, std::min(double(available), work / work_per_thread)));
}

// Runs f on up to `threads` threads (implemented in bindings/python/thread_pool.cpp); on the caller alone if the pool
// is busy with another region. Results never depend on the number of threads.
void run_team(int threads, const std::function<void(const Worker&)>& f);

}  // namespace fastrnn

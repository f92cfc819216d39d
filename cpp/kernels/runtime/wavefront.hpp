// Passes that run at the same time, each a few steps after the pass whose output it reads.
#pragma once

#include "kernels/runtime/interrupt.hpp"

namespace fastrnn {

// The number of steps that a pass has done, published to a pass that follows it on another thread.
class StepsDone {
   public:
    void reach(Index steps) { done_.store(steps, std::memory_order_release); }

    // Waits until `steps` steps are done; returns false if the call must stop first.
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

// A pass's place in a wavefront: it waits for the steps of `before` and publishes its own in `own`. Either may be null.
struct Wavefront {
    const StepsDone* before = nullptr;
    StepsDone* own = nullptr;

    bool await(Index steps, Interrupt& interrupt, const Worker& worker) const {
        return !before || before->await(steps, interrupt, worker);
    }
    void reach(Index steps) const {
        if (own) own->reach(steps);
    }
    bool alone() const { return !before && !own; }
};

}  // namespace fastrnn

// Stops a long call, as for Ctrl-C in Python.
#pragma once

#include <atomic>

#include "kernels/runtime/parallel.hpp"

namespace fastrnn {

// Polled by the calling thread; the call stops when `poll` returns true.
struct Interrupt {
    bool (*poll)() = nullptr;
    std::atomic<bool> stop{false};

    // Must `worker` stop? Call about once every `interval` multiply-adds.
    bool check(const Worker& worker) {
        if (worker.is_caller && poll && poll()) stop.store(true);
        return stop.load(std::memory_order_relaxed);
    }

    static constexpr double interval = double(1 << 24);
};

}  // namespace fastrnn

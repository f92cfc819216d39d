// The thread pool of run_team: Eigen's non-blocking pool, started on first use, and again in a forked child.
#include "bindings/python/thread_pool.hpp"

#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <unsupported/Eigen/CXX11/ThreadPool>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif
#ifdef _WIN32
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

namespace fastrnn {
namespace {

std::atomic<int> wanted_threads{1};

// Threads and locks do not survive a fork. A child that finds its parent's pool creates its own and abandons the old
// one: joining its threads, which no longer exist, would never return.
struct Pool {
    int pid = int(getpid());
    std::mutex busy;
    int size = 0;
    std::unique_ptr<Eigen::ThreadPool> threads;
};
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    Pool* current = the_pool.load(std::memory_order_acquire);
    if (current && current->pid == int(getpid())) return *current;
    Pool* fresh = new Pool;
    if (the_pool.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
    return *current;
}

// Linux often wakes a worker on its waker's CPU, where the two alternate for milliseconds and every barrier waits for
// the scheduler. A worker that finds itself on the caller's CPU moves to the other CPUs that the caller may use, until
// it next shares a CPU with a caller.
#if defined(__linux__)
struct Caller {
    int cpu = sched_getcpu();
    pid_t thread = pid_t(syscall(SYS_gettid));

    void leave_cpu() const {
        cpu_set_t others;
        if (cpu < 0 || sched_getcpu() != cpu || sched_getaffinity(thread, sizeof others, &others) != 0) return;
        CPU_CLR(cpu, &others);
        if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
    }
};
#else
struct Caller {
    void leave_cpu() const {}
};
#endif

}  // namespace

void run_team(int threads, const std::function<void(const Worker&)>& f) {
    if (threads <= 1) return f(Worker{});
    Pool& p = pool();
    // A second Python thread that calls while a region runs works alone: teams never wait for each other.
    const std::unique_lock<std::mutex> lock(p.busy, std::try_to_lock);
    if (!lock) return f(Worker{});
    if (p.size < threads - 1) {
        p.threads.reset();
        p.threads = std::make_unique<Eigen::ThreadPool>(threads - 1);
        p.size = threads - 1;
    }
    // A task that captures a pointer and an int fits into std::function: starting a region allocates no memory.
    struct Region {
        const std::function<void(const Worker&)>& f;
        const int threads;
        SpinBarrier team{threads};
        std::atomic<int> running{threads - 1};
        const Caller caller = {};
    } region{f, threads};
    for (int rank = 1; rank < threads; ++rank)
        p.threads->ScheduleWithHint(
            [&region, rank] {
                region.caller.leave_cpu();
                region.f(Worker{rank, region.threads, &region.team, false});
                region.running.fetch_sub(1, std::memory_order_release);
            },
            rank - 1, rank);
    f(Worker{0, threads, &region.team});
    for (int spins = 0; region.running.load(std::memory_order_acquire) > 0; ++spins)
        if (spins > 4000) std::this_thread::yield();
}

namespace bindings {

int get_num_threads() { return wanted_threads.load(); }
void set_num_threads(int threads) { wanted_threads.store(threads); }

Workspace& fresh_workspace() {
    thread_local Workspace workspace;
    workspace.reset();
    return workspace;
}

void SignalInterrupt::finish() const {
    if (stop) throw pybind11::error_already_set();
}

bool poll_signals() {
    using Clock = std::chrono::steady_clock;
    thread_local Clock::time_point last;
    const auto now = Clock::now();
    if (now - last < std::chrono::milliseconds(50)) return false;
    last = now;
    const pybind11::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

}  // namespace bindings
}  // namespace fastrnn

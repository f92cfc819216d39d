// The thread pool of run_team: workers started one by one when first needed, and again in a forked child.
#include "bindings/python/thread_pool.hpp"

#include <pybind11/pybind11.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <vector>

#include "kernels/runtime/parallel.hpp"

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

using Clock = std::chrono::steady_clock;

std::atomic<int> wanted_threads{1};

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

// One call of run_team, on the caller's stack.
struct Region {
    const std::function<void(const Worker&)>& f;
    const int threads;
    SpinBarrier team{threads};
    std::atomic<int> running{threads - 1};
    const Caller caller = {};

    void run(int rank) {
        caller.leave_cpu();
        f(Worker{rank, threads, &team, false});
        running.fetch_sub(1, std::memory_order_release);  // the region may be gone after this
    }
};

// A thread that waits for regions, first spinning, then asleep. It runs until the process ends.
class PoolThread {
   public:
    // Throws std::system_error if the system refuses a thread.
    explicit PoolThread(int rank) : rank_(rank) {
        std::thread([this] { serve(); }).detach();
    }

    void give(Region& region) {
        next_.store(&region);
        if (!asleep_.load()) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        wake_.notify_one();
    }

   private:
    [[noreturn]] void serve() {
        for (;;) wait()->run(rank_);
    }

    Region* wait() {
        for (int spins = 0; spins < 20000; ++spins)
            if (next_.load(std::memory_order_acquire)) return next_.exchange(nullptr);
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.store(true);  // before the next look at next_: then give() sees one or the other
        wake_.wait(lock, [this] { return next_.load() != nullptr; });
        asleep_.store(false);
        return next_.exchange(nullptr);
    }

    const int rank_;
    std::atomic<Region*> next_{nullptr};
    std::atomic<bool> asleep_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

// What a warning says of threads that the system refused.
struct Refusal {
    std::atomic<int> wanted{0}, got{0}, reason{0};  // reason: errno
    std::atomic<bool> untold{false};
};
Refusal refusal;

// The threads of one process. Threads and locks do not survive a fork: a child that finds its parent's pool creates its
// own and abandons the old one. Never destroyed: its threads run until the process ends.
class Pool {
   public:
    const int pid = int(getpid());
    std::mutex busy;

    // Returns the number of threads there are, at most `count`, after starting what is missing, one by one. After a
    // refusal those that came are kept, and the others are tried again a second later. One warning tells of all
    // refusals until all threads have come.
    int start(int count) {
        if (int(threads_.size()) < count && Clock::now() >= next_try_) try {
                threads_.reserve(std::size_t(count));
                while (int(threads_.size()) < count)
                    threads_.push_back(std::make_unique<PoolThread>(int(threads_.size()) + 1));
                warned_ = false;
            } catch (const std::system_error& error) {
                refuse(count, error.code().value());
            } catch (const std::bad_alloc&) {
                refuse(count, ENOMEM);
            }
        return std::min(count, int(threads_.size()));
    }

    PoolThread& thread(int rank) { return *threads_[std::size_t(rank - 1)]; }

   private:
    void refuse(int count, int reason) {
        next_try_ = Clock::now() + std::chrono::seconds(1);
        if (warned_) return;
        warned_ = true;
        refusal.wanted = count + 1;
        refusal.got = int(threads_.size()) + 1;
        refusal.reason = reason;
        refusal.untold = true;
    }

    std::vector<std::unique_ptr<PoolThread>> threads_;
    Clock::time_point next_try_{};
    bool warned_ = false;
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

}  // namespace

void run_team(int threads, const std::function<void(const Worker&)>& f) {
    if (threads <= 1) return f(Worker{});
    Pool& p = pool();
    // A second Python thread that calls while a region runs works alone: teams never wait for each other.
    const std::unique_lock<std::mutex> lock(p.busy, std::try_to_lock);
    const int others = lock ? p.start(threads - 1) : 0;
    if (others == 0) return f(Worker{});
    Region region{f, others + 1};
    for (int rank = 1; rank <= others; ++rank) p.thread(rank).give(region);
    f(Worker{0, region.threads, &region.team});
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

void warn_of_refused_threads() noexcept {
    if (!refusal.untold.load(std::memory_order_relaxed) || !refusal.untold.exchange(false)) return;
    const pybind11::error_scope keep;  // what Ctrl-C raised
    const int got = refusal.got;
    const int failed = PyErr_WarnFormat(
        PyExc_RuntimeWarning, 1,
        "threads: wanted %d, got %d (%s); results are the same, calls are slower until the system has more threads. "
        "Raise its limits on processes and memory, or call set_num_threads(%d)",
        refusal.wanted.load(), got, std::generic_category().message(refusal.reason).c_str(), got);
    if (failed) PyErr_WriteUnraisable(nullptr);
}

}  // namespace bindings
}  // namespace fastrnn

// Where threads may run.
//
// Linux often wakes a thread on its waker's CPU, where it waits until the waker pauses. So a thread of ours that sleeps
// is moved to other CPUs before it is woken, and is free to move again once it runs. The affinity of a user's thread is
// never changed.
#pragma once

#include <thread>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastrnn {

#if defined(__linux__)
inline int thread_id() { return int(syscall(SYS_gettid)); }

// The CPUs that a thread may use.
class AllowedCpus {
   public:
    // Of the calling thread.
    static AllowedCpus mine() {
        AllowedCpus cpus;
        cpus.known_ = sched_getaffinity(0, sizeof cpus.all_, &cpus.all_) == 0;
        return cpus;
    }

    int count() const { return known_ ? CPU_COUNT(&all_) : int(std::thread::hardware_concurrency()); }

    // Moves a sleeping thread off the calling thread's CPU. Returns whether restore() is needed once it runs.
    bool keep_off_mine(int thread) const {
        const int cpu = sched_getcpu();
        if (!known_ || cpu < 0) return false;
        cpu_set_t others = all_;
        CPU_CLR(cpu, &others);
        return CPU_COUNT(&others) > 0 && sched_setaffinity(thread, sizeof others, &others) == 0;
    }

    // For the calling thread.
    void restore() const { sched_setaffinity(0, sizeof all_, &all_); }

   private:
    cpu_set_t all_;
    bool known_ = false;
};
#else
inline int thread_id() { return 0; }

struct AllowedCpus {
    static AllowedCpus mine() { return {}; }
    int count() const { return int(std::thread::hardware_concurrency()); }
    bool keep_off_mine(int) const { return false; }
    void restore() const {}
};
#endif

}  // namespace fastrnn

// Threads that share work and never wait for one that does not run.
//
// Work is a few chains of links. A link is begun by the thread that claims it, its owner first, and later by anyone if
// nobody has; it is finished when its claimant says so. So a thread that comes late finds its links done and skips
// them, and only one that loses its core in the middle of a link is waited for. What a link computes does not depend on
// who computes it.
//
//     chain 0   [done] [done] [thread 0 ...]                       begun 3, done 2
//     chain 1   [done] [done] [done] [thread 1 ...]                begun 4, done 3
//     chain 2   [done] [      ]                                    begun 1, done 1: free for the owner, then for anyone
//
// Every thread calls begin and next in the same order, so that all count the same links. The thread that made the call
// also decides about the others: if none of them takes part for some time, it holds all chains and works without
// meetings until one says that it waits; if one lost its core while it was waited for, longer (trust.hpp).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/runtime/cpus.hpp"
#include "kernels/runtime/trust.hpp"
#include "kernels/vector/simd.hpp"

namespace fastrnn {

// One link of one chain; piece < 0 stands for none.
struct Task {
    int piece = -1;
    Index link = 0;
};

// Links begun and finished, since the team opened. Two cache lines each, because processors fetch them in pairs.
struct Chain {
    alignas(128) std::atomic<std::uint64_t> begun{0};
    alignas(128) std::atomic<std::uint64_t> done{0};
};

// Thrown in a thread that the call no longer needs; it must not touch the call's memory again.
struct Dismissed {};

// How others know where a thread is, and wake it.
class Seat {
   public:
    enum class Place { outside, inside, waiting, dismissed };
    std::atomic<Place> place{Place::outside};  // inside: it may touch the call's memory

    bool asleep() const { return asleep_.load(); }

    // For a thread of ours, of the calling one.
    void belongs_to_me() { thread_.store(thread_id()); }

    // Sleeps until ready(), or until it is woken.
    template <class Ready>
    void sleep(Ready&& ready) {
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.store(true);  // before the next look: then whoever makes it ready sees one or the other
        woken_ = false;
        wake_.wait(lock, [&] { return woken_ || ready(); });
        asleep_.store(false);
        if (moved_) cpus_.restore();
        moved_ = false;
    }

    // The CPUs for the next calls.
    void allow(const AllowedCpus& cpus) {
        const std::lock_guard<std::mutex> lock(mutex_);
        cpus_ = cpus;
        has_cpus_ = true;
    }

    void wake() {
        if (!asleep()) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        if (has_cpus_ && asleep()) moved_ = cpus_.keep_off_mine(thread_.load()) || moved_;
        woken_ = true;
        wake_.notify_one();
    }

   private:
    std::atomic<int> thread_{0};
    std::atomic<bool> asleep_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    AllowedCpus cpus_;
    bool woken_ = false, has_cpus_ = false, moved_ = false;
};

// The chains of one call. Reused from call to call and never destroyed, as late threads may still look at it.
class Team {
   public:
    std::atomic<int> pieces{0};
    int threads = 1;
    std::vector<Seat*> seats;             // of its threads
    std::atomic<Chain*> chains{nullptr};  // [pieces]
    std::atomic<unsigned> arrivals{0};    // threads that found the caller alone and wait
    std::atomic<bool> alone{false};       // the caller holds all chains
    std::atomic<bool> closing{false};
    std::atomic<int> sleepers{0};

    // Between calls: no thread is inside.
    void open(int pieces_, int threads_);

    void wake_sleepers() {
        if (sleepers.load() == 0) return;
        for (Seat* seat : seats) seat->wake();
    }

   private:
    int capacity_ = 0;
    std::vector<std::unique_ptr<Chain[]>> arrays_;
};

// One thread in one team.
class Member {
   public:
    // `owned`: this thread's first chain; others follow `threads` apart. Negative: none. `trust`: the caller's, else
    // null.
    Member(Team& team, Seat& seat, int owned, Trust* trust) : team_(team), seat_(seat), trust_(trust), owned_(owned) {}

    // Begins `links` links of every chain; `wave`: a link also needs the same link of the chain before.
    Task begin(Index links, bool wave);
    // Finishes the task that was returned last and returns another; none once all chains are done.
    Task next();

    int pieces() const { return team_.pieces.load(std::memory_order_relaxed); }

   private:
    Task claim_next();
    bool owns(int piece) const { return owned_ >= 0 && piece % team_.threads == owned_; }
    bool claim(int piece, std::uint64_t link);
    bool is_ready(int piece, std::uint64_t link) const;
    Chain& chain(int piece) const { return team_.chains.load(std::memory_order_acquire)[piece]; }
    int find_free(bool owned_only) const;
    void wait();
    void hold();
    void reopen();

    Team& team_;
    Seat& seat_;
    Trust* const trust_;
    const int owned_;
    std::uint64_t base_ = 0, end_ = 0;  // of the links of this run
    bool wave_ = false;
    Task task_;
    // The caller's:
    bool alone_ = false, stalled_ = false;
    std::uint64_t begun_at_ = 0;  // this run, in ticks
    Index own_links_ = 0;         // of this run
    int lone_runs_ = 0;           // in a row, without help
    unsigned arrivals_ = 0;
};

}  // namespace fastrnn

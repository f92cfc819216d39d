// When a call had better run on several threads: what was learnt from earlier ones.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace fastrnn {

using Clock = std::chrono::steady_clock;

// What happened since the process began.
struct TeamCounters {
    using Counter = std::atomic<std::uint64_t>;
    Counter shared_calls{0};  // on several threads
    Counter lone_calls{0};    // that wanted several and ran on one: it is faster, or others stalled or are in use
    Counter brief_calls{0};   // the same, because to wake a thread would have cost more
    Counter wakes{0};         // of sleeping threads
    Counter taken_over{0};    // pieces of others that the calling thread did
    Counter went_alone{0};    // times that a call went on without the other threads
    Counter stalls{0};        // waits for a thread that had lost its core
    Counter stalled_us{0};    // microseconds of them

    static void add(Counter& counter, std::uint64_t count = 1) { counter.fetch_add(count, std::memory_order_relaxed); }

    // f(name, count)
    template <class F>
    void each(F&& f) const {
        f("shared_calls", shared_calls.load());
        f("lone_calls", lone_calls.load());
        f("brief_calls", brief_calls.load());
        f("wakes", wakes.load());
        f("taken_over", taken_over.load());
        f("went_alone", went_alone.load());
        f("stalls", stalls.load());
        f("stalled_us", stalled_us.load());
    }
};

// The mean time of a multiply-add in calls of one kind, over the last thirty or so.
struct MeanPace {
    double ns = 0;
    int calls = 0;

    bool known() const { return calls > 0; }
    // New calls count as much as all old ones together.
    void forget() { calls = std::min(calls, 1); }
    void add(double pace) {
        calls = std::min(calls + 1, 32);
        ns += (pace - ns) / calls;
    }
};

// Calls of one kind and about the same size.
struct Experience {
    std::size_t kind = 0;
    MeanPace alone, together;
    bool slower = false;             // together, when it was last seen
    int pause = 0, until_trial = 0;  // calls
};

// A thread that loses its core in the middle of a piece costs a time slice, milliseconds, many times what a short call
// takes. After such a stall, if calls on several threads have been no faster than on one, all are on one for a while:
// at first as long as was lost, then four times as long each time, up to a second. So stalls cost a few per cent where
// other processes keep the cores busy, and little where one happens on an idle machine.
//
// Only the thread that holds the pool uses it, except for counters and patience.
class Trust {
   public:
    TeamCounters counters;

    // Waits of this length happen on idle machines.
    static constexpr std::chrono::microseconds usual_wait{200};
    static constexpr std::chrono::milliseconds longest_spin{2};  // where the work between meetings is long
    static constexpr std::chrono::microseconds least_patience{100}, most_patience{300};

    bool is_given(Clock::time_point now) const { return now >= alone_until_; }

    // What is known of calls of this kind and work.
    Experience& experience(std::size_t kind, double work) {
        int exponent = 0;
        const bool upper = std::frexp(work, &exponent) > 0.7;
        kind ^= (std::size_t(2 * exponent + upper) + 1) * 0x9E3779B97F4A7C15u;
        Experience& known = known_[kind % known_.size()];
        if (known.kind != kind) known = Experience{kind, {}, {}, false, 0, 0};
        return known;
    }

    // Is one thread as fast? A few calls try what seems slower, more and more seldom while it is; long ones try several
    // threads only, as one may take much longer.
    static bool prefers_one(Experience& known, Clock::duration alone) {
        const bool brief = alone < std::chrono::milliseconds(1);
        const int first_pause = brief ? 256 : 16, longest_pause = brief ? 1 << 14 : 128;
        const bool slower = known.alone.known() && known.together.known() && known.together.ns > 0.98 * known.alone.ns;
        const int trials = slower ? (brief ? 8 : 2) : (brief ? 2 : 0);
        if (slower != known.slower || known.pause == 0) {
            known.slower = slower;
            known.pause = known.until_trial = first_pause;
        } else if (--known.until_trial < -trials) {
            known.pause = known.until_trial = std::min(2 * known.pause, longest_pause);
        }
        if (known.until_trial == 0) (slower ? known.together : known.alone).forget();  // before a trial
        return slower != (known.until_trial < 0);
    }

    void ran_alone(Experience& known, double work, Clock::duration took) { known.alone.add(nanoseconds(took) / work); }

    // `woke`: the call had to wake a thread, which says little about the next one.
    void ran_together(Experience& known, double work, bool woke, Clock::time_point now, Clock::duration took) {
        if (!woke) known.together.add(nanoseconds(took) / work);
        together_ += nanoseconds(took);
        instead_ += known.alone.known() ? known.alone.ns * work : nanoseconds(took);
        if (stalled_ > Clock::duration::zero()) judge(now);
        if (together_ > 1e9) together_ /= 2, instead_ /= 2;
    }

    // In the middle of a call, which goes on alone for some time.
    void stalled(Clock::time_point now, Clock::duration waited) {
        stalled_ += waited;
        alone_until_ = now + factor_ * waited;
        TeamCounters::add(counters.stalls);
        TeamCounters::add(counters.stalled_us, std::uint64_t(nanoseconds(waited) / 1e3));
    }

    // How long a thread spins for the next call before it sleeps: a few times what it costs to wake it, long enough for
    // what Python does between two calls.
    Clock::duration patience() const {
        return std::clamp<Clock::duration>(3 * wake_cost(), least_patience, most_patience);
    }

    void woke(Clock::duration took) {
        const double mean = (3 * nanoseconds(wake_cost()) + nanoseconds(took)) / 4;
        wake_cost_.store(std::int64_t(std::min(mean, 2e5)), std::memory_order_relaxed);
        TeamCounters::add(counters.wakes);
    }

    // Is it worth waking threads for a call that takes `alone` on one? A long call pays for it by itself; short ones
    // together, and if the threads fell asleep again after little work, only after more of them.
    bool pays_to_wake(Clock::duration alone) {
        const Clock::duration cost = wake_cost();
        if (alone < 3 * cost) {
            lone_work_ += alone;
            if (lone_work_ < thrift_ * cost) return false;
            thrift_ = awake_work_ < 8 * cost ? std::min(2 * thrift_, 64) : 4;
        }
        lone_work_ = awake_work_ = {};
        return true;
    }
    void are_awake(Clock::duration alone) { awake_work_ += alone; }

   private:
    static double nanoseconds(Clock::duration time) {
        return double(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count());
    }
    Clock::duration wake_cost() const { return std::chrono::nanoseconds(wake_cost_.load(std::memory_order_relaxed)); }

    // After a call that stalled.
    void judge(Clock::time_point now) {
        const bool gained = instead_ > 1.1 * together_;
        factor_ = gained ? 1 : std::min(4 * factor_, 1024);
        alone_until_ = gained ? now : now + std::min<Clock::duration>(factor_ * stalled_, std::chrono::seconds(1));
        if (!gained) together_ = instead_ = 0;
        stalled_ = {};
    }

    std::array<Experience, 256> known_{};
    Clock::time_point alone_until_{};
    Clock::duration stalled_{};          // in this call
    double together_ = 0, instead_ = 0;  // lately: time of calls on several threads, and what one would have taken
    int factor_ = 1, thrift_ = 4;
    Clock::duration lone_work_{}, awake_work_{};
    std::atomic<std::int64_t> wake_cost_{50'000};  // nanoseconds
};

}  // namespace fastrnn

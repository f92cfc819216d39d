// The thread pool of run_team: workers started one by one when first needed, and again in a forked child.
#include "bindings/python/thread_pool.hpp"

#include <cstdlib>
#include <system_error>
#include <thread>

#include "bindings/python/pybind11.hpp"
#include "kernels/runtime/parallel.hpp"
#include "kernels/runtime/spin.hpp"

#ifdef _WIN32
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

namespace fastrnn {
namespace {

std::atomic<int> wanted_threads{1};
// For tests and measurements: use as many threads as asked for, even if they share CPUs or one is faster.
const bool shares_always = std::getenv("FASTRNN_ALWAYS_SHARE") != nullptr;

// One call of run_team, on the caller's stack.
struct Region {
    static constexpr int most_groups = 2;

    const std::function<void(const Worker&)>& f;
    const Sharing sharing;
    Team* const* teams;
    int threads;

    // `trust`: in the caller, else null.
    void run(int rank, Seat& seat, Trust* trust) const {
        const int of_group = threads / sharing.groups;
        const auto owned = [&](int group) {  // a thread's own chains are in its own group
            return sharing.groups == 1 ? rank : rank / of_group == group ? rank % of_group : -1;
        };
        Member members[most_groups] = {{*teams[0], seat, owned(0), trust}, {*teams[1], seat, owned(1), trust}};
        const int group = sharing.groups == 1 ? 0 : std::min(rank / of_group, sharing.groups - 1);
        f(Worker{rank, members[group].pieces(), &members[group], trust != nullptr, group, members});
    }
};

// A thread that waits for regions, first spinning, then asleep. It runs until the process ends.
class PoolThread {
   public:
    // Throws std::system_error if the system refuses a thread.
    explicit PoolThread(const Trust& trust) : trust_(trust) {
        std::thread([this] { serve(); }).detach();
    }

    bool asleep() const { return seat_.asleep(); }
    Seat& seat() { return seat_; }

    // Returns whether it had to be woken.
    bool give(const Region& region, int rank, Trust& trust) {
        rank_ = rank;
        if (asleep()) seat_.allow(AllowedCpus::mine());
        next_.store(&region);
        if (!asleep()) return false;
        const Clock::time_point start = Clock::now();
        seat_.wake();
        trust.woke(Clock::now() - start);
        return true;
    }

    // The region ends, whether this thread has come or not: it does not touch the region again.
    void take_back() {
        if (next_.exchange(nullptr)) return;  // it never came
        using Place = Seat::Place;
        const Clock::time_point start = Clock::now();
        for (int spins = 0;; ++spins) {
            Place place = seat_.place.load();
            if (place == Place::outside || place == Place::dismissed) return;
            if (place == Place::waiting && seat_.place.compare_exchange_strong(place, Place::dismissed)) return;
            if (spins % 64 == 63 && Clock::now() - start > Trust::usual_wait)
                std::this_thread::sleep_for(std::chrono::microseconds(50));  // it has lost its core: perhaps to us
        }
    }

   private:
    [[noreturn]] void serve() {
        seat_.belongs_to_me();
        for (;;) {
            const Region& region = wait();
            try {
                region.run(rank_, seat_, nullptr);
            } catch (const Dismissed&) {
            }
            seat_.place.store(Seat::Place::outside);
        }
    }

    const Region& wait() {
        for (;;) {
            const Clock::time_point start = Clock::now();
            const Clock::duration patience = trust_.patience();
            while (!next_.load(std::memory_order_acquire) && Clock::now() - start < patience) spin_once();
            if (!next_.load()) seat_.sleep([this] { return next_.load() != nullptr; });
            seat_.place.store(Seat::Place::inside);  // before the exchange: take_back sees one or the other
            if (const Region* region = next_.exchange(nullptr)) return *region;
            seat_.place.store(Seat::Place::outside);
        }
    }

    const Trust& trust_;
    Seat seat_;
    std::atomic<const Region*> next_{nullptr};
    int rank_ = 0;  // written before next_
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
    Trust trust;

    Pool() {
        for (Team& team : teams_) team.seats.push_back(&caller_);
    }

    // On several threads, or on this one if that is faster.
    void run(const Sharing& sharing, const std::function<void(const Worker&)>& f) {
        const Clock::time_point start = Clock::now();
        const int threads = start_threads(sharing.threads * sharing.groups - 1) + 1;
        if (threads == 1) return f(Worker::alone(sharing));
        Experience& known = trust.experience(f.target_type().hash_code(), sharing.work);
        if (has_team(sharing, threads, known, start)) {
            const bool woke = run_together(sharing, threads, f);
            const Clock::time_point end = Clock::now();
            trust.ran_together(known, sharing.work, woke, end, end - start);
        } else {
            f(Worker::alone(sharing));
            trust.ran_alone(known, sharing.work, Clock::now() - start);
        }
    }

   private:
    // An estimate, of a thread; what depends on it is whether it pays to wake others.
    static constexpr double multiply_adds_per_ns = 30;

    bool has_team(const Sharing& sharing, int threads, Experience& known, Clock::time_point now) {
        if (shares_always) return true;
        const auto alone = std::chrono::nanoseconds(std::int64_t(sharing.work / multiply_adds_per_ns));
        if (!trust.is_given(now) || trust.prefers_one(known, alone)) {
            TeamCounters::add(trust.counters.lone_calls);
            return false;
        }
        if (!all_awake(threads) && !trust.pays_to_wake(alone)) {
            TeamCounters::add(trust.counters.brief_calls);
            return false;
        }
        trust.are_awake(alone);
        return true;
    }

    bool all_awake(int threads) {
        for (int rank = 1; rank < threads; ++rank)
            if (thread(rank).asleep()) return false;
        return true;
    }

    // Returns whether a thread had to be woken.
    bool run_together(const Sharing& sharing, int threads, const std::function<void(const Worker&)>& f) {
        TeamCounters::add(trust.counters.shared_calls);
        const int of_group = std::max(1, threads / sharing.groups);
        for (int group = 0; group < sharing.groups; ++group)
            teams_[group].open(sharing.pieces ? sharing.pieces : of_group, of_group);
        Team* const teams[] = {&teams_[0], &teams_[1]};
        const Region region{f, sharing, teams, threads};
        bool woke = false;
        for (int rank = 1; rank < threads; ++rank) woke = thread(rank).give(region, rank, trust) || woke;
        region.run(0, caller_, &trust);
        for (Team& team : teams_) team.closing.store(true);
        for (int rank = 1; rank < threads; ++rank) thread(rank).take_back();
        return woke;
    }

    PoolThread& thread(int rank) { return *threads_[std::size_t(rank - 1)]; }

    // Returns the number of threads there are, at most `count`, after starting what is missing, one by one. After a
    // refusal those that came are kept, and the others are tried again a second later. One warning tells of all
    // refusals until all threads have come.
    int start_threads(int count) {
        if (int(threads_.size()) < count && Clock::now() >= next_try_) try {
                threads_.reserve(std::size_t(count));
                for (Team& team : teams_) team.seats.reserve(std::size_t(count) + 1);
                while (int(threads_.size()) < count) {
                    threads_.push_back(std::make_unique<PoolThread>(trust));
                    for (Team& team : teams_) team.seats.push_back(&threads_.back()->seat());
                }
                warned_ = false;
            } catch (const std::system_error& error) {
                refuse(count, error.code().value());
            } catch (const std::bad_alloc&) {
                refuse(count, ENOMEM);
            }
        return std::min(count, int(threads_.size()));
    }

    void refuse(int count, int reason) {
        next_try_ = Clock::now() + std::chrono::seconds(1);
        if (warned_) return;
        warned_ = true;
        refusal.wanted = count + 1;
        refusal.got = int(threads_.size()) + 1;
        refusal.reason = reason;
        refusal.untold = true;
    }

    Team teams_[Region::most_groups];
    Seat caller_;
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

void run_team(const Sharing& sharing, const std::function<void(const Worker&)>& f) {
    if (sharing.threads * sharing.groups <= 1) return f(Worker::alone(sharing));
    Pool& p = pool();
    // A second Python thread that calls while a region runs works alone: teams never wait for each other.
    const std::unique_lock<std::mutex> lock(p.busy, std::try_to_lock);
    if (lock) return p.run(sharing, f);
    TeamCounters::add(p.trust.counters.lone_calls);
    f(Worker::alone(sharing));
}

namespace bindings {

int get_num_threads() { return wanted_threads.load(); }

int available_threads() {
    // More threads than CPUs would only wait for each other. Affinities change seldom: looked up now and then.
    static std::atomic<int> cpus{1};
    static std::atomic<Clock::rep> next_look{0};
    const int wanted = wanted_threads.load();
    if (wanted == 1 || shares_always) return wanted;
    const Clock::duration now = Clock::now().time_since_epoch();
    if (now.count() >= next_look.load(std::memory_order_acquire)) {
        cpus.store(AllowedCpus::mine().count());
        next_look.store((now + std::chrono::milliseconds(100)).count(), std::memory_order_release);
    }
    return std::min(wanted, cpus.load());
}

void set_num_threads(int threads) { wanted_threads.store(threads); }

const TeamCounters& thread_counters() { return pool().trust.counters; }

double meeting_time(int threads, int meetings, double work) {
    const auto piece = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(work));
    Clock::time_point start, end;
    run_team({threads, 1e12}, [&](const Worker& worker) {
        for (int i = 0; i < meetings; ++i) {
            if (i == meetings / 10 && worker.is_caller) start = Clock::now();  // by then everybody has come
            worker.share([&](int) {
                for (const auto begun = Clock::now(); Clock::now() - begun < piece;) spin_once();
            });
        }
        if (worker.is_caller) end = Clock::now();
    });
    return std::chrono::duration<double>(end - start).count() / (meetings - meetings / 10) - work;
}

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

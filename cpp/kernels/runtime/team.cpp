// How the threads of a team claim links, wait, and go on without those that do not come.
#include "kernels/runtime/team.hpp"

#include <limits>

#include "kernels/runtime/spin.hpp"

namespace fastrnn {
namespace {

constexpr std::uint64_t held = std::numeric_limits<std::uint64_t>::max();  // begun, of a chain that the caller holds
constexpr int spins_before_help = 64;  // about two microseconds: an owner that runs has claimed its link by then
constexpr int lone_runs_before_hold = 3;
constexpr int none_free = -1, all_done = -2;  // of find_free

}  // namespace

void Team::open(int pieces_, int threads_) {
    pieces.store(pieces_);
    threads = threads_;
    if (pieces_ > capacity_) {
        arrays_.push_back(std::make_unique<Chain[]>(std::size_t(pieces_)));  // old ones stay: late threads read them
        chains.store(arrays_.back().get());
        capacity_ = pieces_;
    }
    Chain* const own = chains.load();
    for (int i = 0; i < pieces_; ++i) {
        own[i].begun.store(0);
        own[i].done.store(0);
    }
    alone.store(false);
    closing.store(false);
}

Task Member::begin(Index links, bool wave) {
    base_ = end_;
    end_ += std::uint64_t(links);
    wave_ = wave;
    task_ = {};
    if (!trust_) {
        if (team_.closing.load(std::memory_order_relaxed)) throw Dismissed();
    } else {
        own_links_ = 0;
        if (alone_)
            reopen();
        else if (lone_runs_ >= lone_runs_before_hold || stalled_)
            hold();
        if (alone_) return task_ = {0, 0};
    }
    begun_at_ = ticks();
    if (!wave && owned_ >= 0 && owned_ < pieces() && claim(owned_, base_)) return task_ = {owned_, 0};
    return claim_next();
}

Task Member::next() {
    if (alone_) {
        if (++task_.link == Index(end_ - base_)) task_ = {task_.piece + 1, 0};
        if (task_.piece == pieces()) task_ = {};
        return task_;
    }
    const std::uint64_t finished = base_ + std::uint64_t(task_.link) + 1;
    // An owner claims the next link before this one is known to be finished, so that nobody gets between.
    const bool goes_on =
        owns(task_.piece) && finished < end_ && is_ready(task_.piece, finished) && claim(task_.piece, finished);
    chain(task_.piece).done.store(finished);  // sequentially consistent, as is the look at sleepers
    team_.wake_sleepers();
    ++own_links_;
    if (!goes_on) return claim_next();
    ++task_.link;
    return task_;
}

bool Member::claim(int piece, std::uint64_t link) {
    return chain(piece).begun.compare_exchange_strong(link, link + 1, std::memory_order_acquire,
                                                      std::memory_order_relaxed);
}

bool Member::is_ready(int piece, std::uint64_t link) const {
    return !wave_ || piece == 0 || chain(piece - 1).done.load(std::memory_order_acquire) > link;
}

// A chain whose next link is free, this thread's own first; or that there is none, or that all are done. Sequentially
// consistent: whoever finishes a link sees a sleeper, or the sleeper sees the link.
int Member::find_free(bool owned_only) const {
    const int pieces = this->pieces(), first = std::max(owned_, 0) % pieces;
    int found = all_done;
    for (int k = 0, i = first; k < pieces; ++k, i = i + 1 == pieces ? 0 : i + 1) {
        const std::uint64_t link = chain(i).done.load();
        if (link >= end_) continue;
        found = none_free;
        if (owned_only && !owns(i)) continue;
        if (chain(i).begun.load(std::memory_order_relaxed) == link && is_ready(i, link)) return i;
    }
    return found;
}

// Claims a free link; waits until there is one or all are done.
Task Member::claim_next() {
    for (int spins = 0;; ++spins) {
        const int i = find_free(spins < spins_before_help);
        if (i == all_done) {
            if (trust_) lone_runs_ = own_links_ < pieces() * Index(end_ - base_) ? 0 : lone_runs_ + 1;
            return task_ = {};
        }
        if (i >= 0) {
            const std::uint64_t link = chain(i).done.load(std::memory_order_acquire);
            if (link >= end_ || !is_ready(i, link) || !claim(i, link)) continue;
            if (!owns(i) && trust_) TeamCounters::add(trust_->counters.taken_over);
            return task_ = {i, Index(link - base_)};
        }
        if (spins < spins_before_help)
            spin_once();
        else
            wait();
    }
}

// Spins for a bounded time, then sleeps. Meanwhile the caller can do without this thread. A wait of the caller's that
// is unusual, and longer than its own part of the run, is a stall.
void Member::wait() {
    using Place = Seat::Place;
    if (!trust_) seat_.place.store(Place::waiting);
    const Clock::time_point since = Clock::now();
    const std::uint64_t waits_at = ticks(), own_part = waits_at - begun_at_;
    bool greeted = false;
    const auto dismissed = [&] { return !trust_ && (seat_.place.load() == Place::dismissed || team_.closing.load()); };
    const auto go_on = [&] { return dismissed() || find_free(false) != none_free; };
    while (!go_on()) {
        if (!greeted && !trust_ && team_.alone.load()) {
            greeted = true;
            team_.arrivals.fetch_add(1);
        }
        for (int i = 0; i < 4; ++i) spin_once();
        const Clock::duration waited = Clock::now() - since;
        if (waited < Trust::usual_wait || (waited < Trust::longest_spin && ticks() - waits_at < own_part / 2)) continue;
        team_.sleepers.fetch_add(1);
        seat_.sleep(go_on);
        team_.sleepers.fetch_sub(1);
    }
    if (trust_) {
        const Clock::time_point now = Clock::now();
        if (now - since <= Trust::usual_wait || ticks() - waits_at <= own_part || own_links_ == 0) return;
        stalled_ = true;
        trust_->stalled(now, now - since);
        return;
    }
    Place expected = Place::waiting;
    if (dismissed() || !seat_.place.compare_exchange_strong(expected, Place::inside)) throw Dismissed();
}

// Takes all chains, between two runs; fails if another thread has begun a link of the next one.
void Member::hold() {
    for (int i = 0; i < pieces(); ++i) {
        std::uint64_t free = base_;
        if (chain(i).begun.compare_exchange_strong(free, held)) continue;
        while (--i >= 0) chain(i).begun.store(base_);
        return;
    }
    arrivals_ = team_.arrivals.load();
    team_.alone.store(true);
    alone_ = true;
    stalled_ = false;
    lone_runs_ = 0;
    TeamCounters::add(trust_->counters.went_alone);
}

// Lets the others in again if one waits and there is trust.
void Member::reopen() {
    if (team_.arrivals.load(std::memory_order_relaxed) == arrivals_) return;
    if (!trust_->is_given(Clock::now())) return;
    team_.alone.store(false);
    alone_ = false;
    for (int i = 0; i < pieces(); ++i) {
        chain(i).done.store(base_);
        chain(i).begun.store(base_);
    }
    team_.wake_sleepers();
}

}  // namespace fastrnn

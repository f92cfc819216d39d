// Several threads in one call: run_team calls f(Worker) once on each, and they share its work in pieces.
#pragma once

#include <algorithm>
#include <functional>

#include "kernels/runtime/team.hpp"

namespace fastrnn {

// Threads worth using for `work` multiply-adds: a region takes a few microseconds to start.
inline int useful_threads(int available, double work, double work_per_thread = 4e5) {
    return int(std::max(1.0, std::min(double(available), work / work_per_thread)));
}

// How run_team is to share a call.
struct Sharing {
    int threads = 1;
    double work = 0;  // multiply-adds: is it worth waking threads?
    int pieces = 0;   // 0: as many as threads
    int groups = 1;   // at most two; each has its own chains, pieces and threads are of one group

    // At most `available` threads, as many as the work is worth.
    static Sharing of(int available, double work) { return {useful_threads(available, work), work}; }
};

// One thread of a call, as a kernel sees it. Sharing work never splits a sum. All threads must call share and chains in
// the same order; what a thread does outside them, others do as well, so it writes to memory of its own only.
struct Worker {
    int rank = 0;               // this thread has scratch memory of its own there
    int pieces = 1;             // that the work is shared in
    Member* member = nullptr;   // null: this thread works alone
    bool is_caller = true;      // the thread that made the call: it alone may poll for interrupts
    int group = 0;              // this thread's own
    Member* members = nullptr;  // one per group

    static Worker alone(const Sharing& sharing) { return {0, std::max(1, sharing.pieces)}; }

    // Calls f(piece) for the pieces 0 .. pieces-1 that this thread gets; returns when all are done, by whomever.
    template <class F>
    void share(F&& f) const {
        chains(1, false, [&](int piece, Index) { f(piece); });
    }

    // Calls f(piece, link) for links 0 .. links-1 of each piece, one after the other. In a wave, a link also waits for
    // the same link of the piece before.
    template <class F>
    void chains(Index links, bool wave, F&& f) const {
        if (links == 0) return;
        for (Task task = member ? member->begin(links, wave) : Task{0, 0}; task.piece >= 0;) {
            f(task.piece, task.link);
            task = member ? member->next() : after(task, links);
        }
    }

    // A piece of 0 .. count-1, split at multiples of `grain`.
    Range part(Index count, int piece, Index grain = 1) const {
        const Index all = (count + grain - 1) / grain;
        return {std::min(count, all * piece / pieces * grain), std::min(count, all * (piece + 1) / pieces * grain)};
    }

    // The same thread, alone.
    Worker by_itself() const { return Worker{rank, 1, nullptr, is_caller}; }
    // The same thread in any group of the call.
    Worker in_group(int which) const {
        Worker other = *this;
        if (members) other.member = members + which;
        return other;
    }

   private:
    Task after(Task task, Index links) const {
        if (++task.link == links) task = {task.piece + 1, 0};
        return task.piece == pieces ? Task{} : task;
    }
};

// Runs f on several threads (implemented in bindings/python/thread_pool.cpp), fewer than asked for or the caller alone
// if others are not to be had: then there are no more pieces than threads, unless the call named their number. Results
// never depend on the number of threads.
void run_team(const Sharing& sharing, const std::function<void(const Worker&)>& f);

}  // namespace fastrnn

// How the passes of one call share threads: one after the other, both directions at once, or layers as a wavefront.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>

#include "bindings/python/released_gil.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/recurrent/work_split.hpp"

namespace fastrnn::bindings {

template <class Pass>
using Passes = std::vector<std::unique_ptr<Pass>>;

template <class Pass>
Split split_of(const Pass& pass, int threads) {
    return pass.packed().split(pass.problem().batch, Pass::forward_passes, threads);
}

// Multiply-adds of all passes.
template <class Pass>
double work_of(const Passes<Pass>& passes) {
    double work = 0;
    for (const auto& pass : passes) work += Pass::forward_passes * pass->packed().forward_work(pass->problem().batch);
    return work;
}

// Is a wavefront of layers faster than all threads on one layer at a time?
template <class Pass>
bool prefers_wavefront(const Passes<Pass>& passes, int threads) {
    const int groups = std::min(threads, int(passes.size()));
    const Index steps = passes.front()->problem().batch.steps();
    return std::all_of(passes.begin(), passes.end(), [&](const auto& pass) {
        if (pass->problem().batch.steps() != steps) return false;  // a pass waits for each step of the one before
        const double rows_work = double(pass->problem().batch.N) * double(pass->packed().sizes().recurrent_weights);
        return wavefront_is_faster(split_of(*pass, threads), rows_work, groups);
    });
}

// Returns the number of threads on which passes run at the same time; 1 stands for one pass after the other, each with
// all threads.
template <class Pass>
int concurrent_threads(const Passes<Pass>& passes, bool are_directions) {
    const double per_thread = are_directions ? 4e5 : wavefront_work_per_thread;
    const int threads = useful_threads(get_num_threads(), work_of(passes), per_thread);
    if (passes.size() == 1 || threads < 2) return 1;
    return are_directions || prefers_wavefront(passes, threads) ? threads : 1;
}

// Runs the directions of one layer, or consecutive layers: calls run(pass, worker) on each worker of each pass. Layers
// that run at the same time form a wavefront, in which each follows the one before it.
template <class Pass, class Run>
void run_passes(const Passes<Pass>& passes, bool are_directions, Run&& run) {
    const ReleasedGil release;
    const std::size_t count = passes.size();
    if (passes[0]->problem().batch.tokens() == 0) {  // no step to run
        for (const auto& pass : passes) pass->finish();
        return;
    }
    const int threads = concurrent_threads(passes, are_directions);
    if (threads == 1) {
        for (const auto& pass : passes) {
            const Split split = split_of(*pass, get_num_threads());
            pass->prepare(split, {}, fresh_workspace());
            run_team(split.threads, [&](const Worker& worker) { run(*pass, worker); });
            pass->finish();
        }
        return;
    }
    const int groups = std::min(threads, int(count)), group_size = are_directions ? threads / groups : 1;
    Workspace& workspace = fresh_workspace();
    std::vector<StepsDone> done(count);
    std::vector<Split> splits;
    std::deque<SpinBarrier> barriers;
    for (std::size_t i = 0; i < count; ++i) {
        splits.push_back(split_of(*passes[i], group_size));
        barriers.emplace_back(splits[i].threads);
        const Wavefront own{i > 0 ? &done[i - 1] : nullptr, i + 1 < count ? &done[i] : nullptr};
        passes[i]->prepare(splits[i], are_directions ? Wavefront{} : own, workspace);
    }
    run_team(groups * group_size, [&](const Worker& worker) {
        // A smaller team than asked for: each of its threads does whole passes.
        const int size = worker.size == groups * group_size ? group_size : 1;
        const int rank = worker.rank % size;
        for (std::size_t i = std::size_t(worker.rank / size); i < count; i += std::size_t(worker.size / size))
            if (size == 1 && worker.size < groups * group_size)
                run(*passes[i], Worker{0, 1, nullptr, worker.is_caller});
            else if (rank < splits[i].threads)
                run(*passes[i], Worker{rank, splits[i].threads, &barriers[i], worker.is_caller});
    });
    for (const auto& pass : passes) pass->finish();
}

}  // namespace fastrnn::bindings

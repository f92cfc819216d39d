// How the passes of one call share threads: one after the other, both directions at once, or layers as a wave.
#pragma once

#include <algorithm>
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

// Multiply-adds.
template <class Pass>
double work_of(const Pass& pass) {
    return Pass::forward_passes * pass.packed().forward_work(pass.problem().batch);
}

template <class Pass>
double work_of(const Passes<Pass>& passes) {
    double work = 0;
    for (const auto& pass : passes) work += work_of(*pass);
    return work;
}

// Is a wave of layers faster than all threads on one layer at a time?
template <class Pass>
bool prefers_wave(const Passes<Pass>& passes, int threads) {
    const int groups = std::min(threads, int(passes.size()));
    const Index steps = passes.front()->problem().batch.steps();
    return std::all_of(passes.begin(), passes.end(), [&](const auto& pass) {
        if (pass->problem().batch.steps() != steps) return false;  // a pass waits for each step of the one before
        const double rows_work = double(pass->problem().batch.N) * double(pass->packed().sizes().recurrent_weights);
        return wave_is_faster(split_of(*pass, threads), rows_work, groups);
    });
}

// One pass after the other, each with all threads.
template <class Pass>
void run_in_turn(const Passes<Pass>& passes) {
    for (const auto& pass : passes) {
        const Split split = split_of(*pass, available_threads());
        pass->prepare(split, split.threads, 0, fresh_workspace());
        run_team({split.threads, work_of(*pass)}, [&](const Worker& worker) { pass->run(worker); });
    }
}

// Consecutive layers: each follows the one before it, some steps behind.
template <class Pass>
void run_as_wave(const Passes<Pass>& passes, int threads, double work) {
    const RaggedBatch& batch = passes.front()->problem().batch;
    Index link_steps = wave_steps(batch);
    for (const auto& pass : passes)
        link_steps = std::min(link_steps, input_chunk_steps(batch, pass->packed().sizes().gx_width));
    Workspace& workspace = fresh_workspace();
    for (const auto& pass : passes) pass->prepare({}, threads, link_steps, workspace);
    run_team({threads, work, int(passes.size())}, [&](const Worker& worker) {
        worker.chains((batch.steps() + link_steps - 1) / link_steps, true,
                      [&](int piece, Index link) { passes[std::size_t(piece)]->run_link(worker, link); });
    });
}

// Both directions of a layer at once, each by half of the threads; who is done first helps the others.
template <class Pass>
void run_directions(const Passes<Pass>& passes, int threads, double work) {
    const Split split = split_of(*passes[0], threads / 2);
    Workspace& workspace = fresh_workspace();
    for (const auto& pass : passes) pass->prepare(split, 2 * split.threads, 0, workspace);
    run_team({split.threads, work, 0, 2}, [&](const Worker& worker) {
        for (const int group : {worker.group, 1 - worker.group})
            passes[std::size_t(group)]->run(worker.in_group(group));
    });
}

// Runs the directions of one layer, or consecutive layers.
template <class Pass>
void run_passes(const Passes<Pass>& passes, bool are_directions) {
    const ReleasedGil release;
    if (passes[0]->problem().batch.tokens() > 0) {
        const double work = work_of(passes);
        const int threads = useful_threads(available_threads(), work, are_directions ? 4e5 : wave_work_per_thread);
        if (passes.size() == 1 || threads == 1 || (!are_directions && !prefers_wave(passes, threads)))
            run_in_turn(passes);
        else if (are_directions)
            run_directions(passes, threads, work);
        else
            run_as_wave(passes, std::min(threads, int(passes.size())), work);
    }
    for (const auto& pass : passes) pass->finish();
}

}  // namespace fastrnn::bindings

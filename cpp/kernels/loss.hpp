// Softmax and cross-entropy in one pass over a row of logits, alone and behind a linear layer in chunks of rows, so
// that the logits of a whole sequence [M, V] never exist. Losses are in nats; a target of -1 is not counted.
#pragma once

#include <cmath>
#include <cstdint>

#include "activations.hpp"
#include "linear.hpp"

namespace fastrnn {

inline constexpr std::int64_t no_target = -1;

// logits [V] of one row become scale * (softmax - onehot(target)); gives the loss -log softmax[target].
template <class S>
S softmax_cross_entropy_row(S* logits, Index V, std::int64_t target, S scale) {
    if (target == no_target) {
        std::fill(logits, logits + V, S(0));
        return S(0);
    }
    Vec<S> highest = set(logits[0]);
    Index i = 0;
    for (; i + lanes<S> <= V; i += lanes<S>) highest = max(highest, load(logits + i));
    S top = largest(highest);
    for (; i < V; ++i) top = std::max(top, logits[i]);
    const S at_target = logits[target] - top;
    LaneSum<S> sum;
    sum.add(V, [&](Index j) {
        const Vec<S> e = exp_of_negative(load_first(logits + j, V - j) - set(top));
        store_first(logits + j, e, V - j);
        return load_first(logits + j, V - j);
    });
    const S total = sum.total();
    const Vec<S> factor = set(scale / total);
    for (Index j = 0; j < V; j += lanes<S>) store_first(logits + j, load_first(logits + j, V - j) * factor, V - j);
    logits[target] -= scale;
    return std::log(total) - at_target;
}

template <class S>
struct LinearCrossEntropy {
    LinearProblem<S> linear;      // x = h [M, K], weight [V, K], bias [V]
    const std::int64_t* targets;  // [M], -1 or 0 .. V-1
    S scale;                      // of the gradients
    S* losses;                    // [M]
    S *dh, *dweight, *dbias;      // [M, K], [V, K], [V]; null where not wanted. dweight and dbias are added to
};

// Logits that a chunk of rows may take.
inline constexpr Index loss_chunk = Index(1) << 18;

template <class S>
void linear_cross_entropy(const LinearCrossEntropy<S>& p, int threads, Workspace& workspace) {
    const Index M = p.linear.M, K = p.linear.K, V = p.linear.F, stride = V + 16;
    const Index chunk = std::max<Index>(1, std::min(M, std::max<Index>(48, loss_chunk / V)));
    S* forward = workspace.take<S>(panels_size<S>(K, V));
    pack_transposed(p.linear.weight, V, K, forward);
    S* backward = p.dh ? workspace.take<S>(panels_size<S>(V, K)) : nullptr;
    if (p.dh) pack_rows(p.linear.weight, V, K, 0, V, backward);
    const S* bias = pad_bias(p.linear.bias, V, workspace.take<S>(round_up_to_lanes<S>(V)));
    const S* const* h_rows = row_list(p.linear.x, M, K, workspace);
    S* const* dh_rows = p.dh ? row_list(p.dh, M, K, workspace) : nullptr;
    S* const* logits = row_list(workspace.take<S>(chunk * stride), chunk, stride, workspace);
    S* outer = workspace.take<S>(threads * outer_workspace<S>(K));
    run_team(useful_threads(threads, double(M) * double(K) * double(V)), [&](const Worker& worker) {
        const FlushDenormals flush;
        for (Index m0 = 0; m0 < M; m0 += chunk) {
            const Index count = std::min(chunk, M - m0);
            p.linear.interrupt->check(worker);
            const auto rows = worker.part(count, max_rows<panel_vectors>);
            multiply_panels(Product<S>{h_rows + m0, logits, forward, bias, K, V}, rows.begin, rows.end);
            for (Index m = rows.begin; m < rows.end; ++m)
                p.losses[m0 + m] = softmax_cross_entropy_row(logits[m], V, p.targets[m0 + m], p.scale);
            if (p.dh) multiply_panels(Product<S>{logits, dh_rows + m0, backward, nullptr, V, K}, rows.begin, rows.end);
            // The next chunk takes the place of this one's logits, in other shares. Between two barriers nobody sets
            // `stop`, so all see the same.
            worker.barrier();
            if (p.linear.interrupt->stop.load(std::memory_order_relaxed)) return;
            if (p.dweight) {
                const auto outputs = worker.part(V, max_rows<panel_vectors>);
                accumulate_outer(OuterProduct<S>{logits, stride, count, {{h_rows + m0, p.dweight, K}, {}}}, outputs,
                                 outer + worker.rank * outer_workspace<S>(K));
                if (p.dbias) accumulate_rows(logits, count, outputs.begin, outputs.end, p.dbias);
            }
            worker.barrier();
        }
    });
}

}  // namespace fastrnn

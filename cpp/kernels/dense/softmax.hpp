// Softmax and cross-entropy of rows of logits, alone or after a linear layer in chunks of rows, so that the logits of a
// whole sequence [M, V] never exist. Losses are in nats; a target of -1 is not counted.
//
// With smoothing e the target distribution is (1 - e) onehot + e / V (Szegedy et al. 2016).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/dense/linear_row_losses.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

inline constexpr std::int64_t no_target = -1;

// What describes some logits of a row after they were replaced by exp(logit - top).
template <class S>
struct Exponentials {
    S top, sum;   // the maximum logit; the sum of the exponentials
    S plain_sum;  // of the logits themselves, if requested
};

// Replaces logits [count] by exp(logit - their maximum).
template <class S>
Exponentials<S> exponentials(S* logits, Index count, bool with_plain_sum) {
    Exponentials<S> row{};
    if (with_plain_sum) {
        LaneSum<S> plain;
        plain.add(count, [&](Index j) { return load_first(logits + j, count - j); });
        row.plain_sum = plain.total();
    }
    Vec<S> highest = set(logits[0]);
    Index i = 0;
    for (; i + lanes<S> <= count; i += lanes<S>) highest = max(highest, load(logits + i));
    row.top = largest(highest);
    for (; i < count; ++i) row.top = std::max(row.top, logits[i]);
    // If all logits are -inf, the exponentials are 0 rather than NaN.
    row.top = std::max(row.top, std::numeric_limits<S>::lowest());
    LaneSum<S> sum;
    sum.add(count, [&](Index j) {
        const Vec<S> e = exp_of_negative(load_first(logits + j, count - j) - set(row.top));
        store_first(logits + j, e, count - j);
        return load_first(logits + j, count - j);
    });
    row.sum = sum.total();
    return row;
}

// What one row's loss and gradient depend on besides its exponentials.
template <class S>
struct Target {
    std::int64_t id;
    S logit;      // of the target
    S smoothing;  // e
    S scale;      // of the gradient
};

// Returns the loss of a row of V logits, given the exponentials of its parts. Replaces each part's top by the factor
// that turns its exponentials into scale * softmax.
template <class S>
S combine_parts(Exponentials<S>* parts, Index count, Index V, const Target<S>& target) {
    S top = parts[0].top, total(0), plain_sum(0);
    for (Index i = 1; i < count; ++i) top = std::max(top, parts[i].top);
    for (Index i = 0; i < count; ++i) {
        const S share = std::exp(parts[i].top - top);
        total += parts[i].sum * share;
        plain_sum += parts[i].plain_sum;
        parts[i].top = share;
    }
    const bool counted = target.id != no_target;
    for (Index i = 0; i < count; ++i) parts[i].top = counted ? parts[i].top * (target.scale / total) : S(0);
    if (!counted) return S(0);
    const S loss = std::log(total) - (target.logit - top);
    if (target.smoothing == S(0)) return loss;
    return loss + target.smoothing * ((target.logit - top) - (plain_sum / S(V) - top));
}

// Turns the exponentials of logits first .. first + count - 1 of V into the gradient scale * (softmax - target).
template <class S>
void finish_gradient(S* row, Index first, Index count, Index V, S factor, const Target<S>& target) {
    if (target.id == no_target) return std::fill(row, row + count, S(0)), void();
    const Vec<S> times = set(factor);
    if (target.smoothing == S(0)) {
        for (Index j = 0; j < count; j += lanes<S>)
            store_first(row + j, load_first(row + j, count - j) * times, count - j);
    } else {
        const Vec<S> less = set(target.scale * target.smoothing / S(V));
        for (Index j = 0; j < count; j += lanes<S>)
            store_first(row + j, load_first(row + j, count - j) * times - less, count - j);
    }
    if (target.id >= first && target.id < first + count)
        row[target.id - first] -= target.scale * (S(1) - target.smoothing);
}

// Replaces logits [V] of one row by scale * (softmax - target distribution); returns the loss.
template <class S>
S softmax_cross_entropy_row(S* logits, Index V, std::int64_t id, S scale, S smoothing = S(0)) {
    const Target<S> target{id, id == no_target ? S(0) : logits[id], smoothing, scale};
    if (id == no_target) return std::fill(logits, logits + V, S(0)), S(0);
    Exponentials<S> all = exponentials(logits, V, smoothing != S(0));
    const S loss = combine_parts(&all, 1, V, target);
    finish_gradient(logits, 0, V, V, all.top, target);
    return loss;
}

template <class S>
struct CrossEntropyProblem {
    Index M = 0, V = 0;
    const S* logits = nullptr;              // [M, V]
    const std::int64_t* targets = nullptr;  // [M], -1 or 0 .. V-1
    const S* class_weight = nullptr;        // [V], factors of the losses of each class's rows; null: all 1
    S scale = 1, smoothing = 0;             // factor of the gradients only; e
    S *losses = nullptr, *d = nullptr;      // [M]; [M, V], may be the logits themselves
};

template <class S>
void softmax_cross_entropy(const CrossEntropyProblem<S>& p, int threads) {
    run_team(Sharing::of(threads, 16.0 * double(p.M) * double(p.V)), [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range rows = worker.part(p.M, piece);
            for (Index m = rows.begin; m < rows.end; ++m) {
                const std::int64_t id = p.targets[m];
                const S weight = p.class_weight && id != no_target ? p.class_weight[id] : S(1);
                S* const row = p.d + m * p.V;
                std::copy_n(p.logits + m * p.V, p.V, row);
                const S loss = softmax_cross_entropy_row(row, p.V, id, weight * p.scale, p.smoothing);
                // A class without weight counts nothing, an infinite loss included.
                p.losses[m] = weight == S(0) ? S(0) : weight * loss;
            }
        });
    });
}

template <class S>
struct LinearCrossEntropyProblem {
    LinearProblem<S> linear;                // x = h [M, K], weight [V, K], bias [V]
    const std::int64_t* targets = nullptr;  // [M], -1 or 0 .. V-1
    S scale = 1;                            // of the gradients only
    S smoothing = 0;
    S* losses = nullptr;                                    // [M]
    S *dh = nullptr, *dweight = nullptr, *dbias = nullptr;  // [M, K]; [V, K] and [V], added to; null if not wanted
};

// For vocabularies so small that all logits of a chunk of rows fit the L2 cache.
template <class S>
void unblocked_cross_entropy(const LinearCrossEntropyProblem<S>& p, int threads, Workspace& workspace) {
    const LinearGradients<S> gradients{p.dh, p.dweight, p.dbias};
    linear_row_losses(
        p.linear, gradients,
        [&](Index m, S* logits) {
            p.losses[m] = softmax_cross_entropy_row(logits, p.linear.F, p.targets[m], p.scale, p.smoothing);
        },
        threads, workspace);
}

}  // namespace fastrnn

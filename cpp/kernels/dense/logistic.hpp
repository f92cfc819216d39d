// The logistic loss (binary cross-entropy) of logits, alone or after a linear layer. Losses are in nats; a target of -1
// is not counted.
//
// With a logit x, its target y in 0 .. 1 and the weight w of positive targets
//   L     = w y softplus(-x) + (1 - y) softplus(x),  softplus(x) = max(x, 0) + log(1 + exp(-|x|))
//   dL/dx = (1 - y) sigmoid(x) - w y sigmoid(-x),
// as torch.nn.BCEWithLogitsLoss. Neither overflows, and neither subtracts numbers that are nearly equal. With smoothing
// e, y becomes (1 - e) y + e / 2.
#pragma once

#include "kernels/dense/linear_row_losses.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

template <class S>
struct LogisticProblem {
    Index M = 0, K = 0;
    const S* targets = nullptr;              // [M, K], -1 or in 0 .. 1
    const S* pos_weight = nullptr;           // w [K]; null stands for `weight` in every column
    S weight = 1, scale = 1, smoothing = 0;  // w; factor of the gradients only; e
    S* losses = nullptr;                     // [M, K]
};

// Losses and gradients of `count` logits. `gradients` may be the logits themselves; `pos_weight` is null or [count].
template <class S>
void logistic_row(const LogisticProblem<S>& p, const S* logits, const S* targets, const S* pos_weight, Index count,
                  S* losses, S* gradients) {
    const Vec<S> zero = set(S(0)), one = set(S(1)), kept = set(S(1) - p.smoothing);
    const Vec<S> half = set(p.smoothing / S(2)), rest = set(S(1) - p.smoothing / S(2));
    for (Index j = 0; j < count; j += lanes<S>) {
        const Index width = count - j;
        const Vec<S> x = load_first(logits + j, width), target = load_first(targets + j, width);
        const Vec<S> weight = pos_weight ? load_first(pos_weight + j, width) : set(p.weight);
        const Vec<S> yes = weight * fma(kept, target, half), no = fma(zero - kept, target, rest);
        const Vec<S> tail = log1p_of_fraction(exp_of_negative(minus_magnitude(x)));
        // The side without weight counts nothing, an infinite logit included.
        const Vec<S> loss =
            where_positive(yes, yes * (max(zero - x, zero) + tail)) + where_positive(no, no * (max(x, zero) + tail));
        const Vec<S> slope = no * sigmoid(x) - yes * sigmoid(zero - x);
        const Vec<S> counted = target + one;
        store_first(losses + j, where_positive(counted, loss), width);
        store_first(gradients + j, where_positive(counted, slope * set(p.scale)), width);
    }
}

// `logits` and `gradients` [M, K].
template <class S>
void binary_cross_entropy(const LogisticProblem<S>& p, const S* logits, S* gradients, int threads) {
    const bool flat = !p.pos_weight;  // then columns do not matter
    const Index rows = flat ? 1 : p.M, count = flat ? p.M * p.K : p.K;
    run_team(Sharing::of(threads, 16.0 * double(p.M) * double(p.K)), [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range own = flat ? Range{0, 1} : worker.part(rows, piece);
            const Range part = flat ? worker.part(count, piece, 1024) : Range{0, count};
            for (Index m = own.begin; m < own.end; ++m) {
                const Index i = m * count + part.begin;
                logistic_row(p, logits + i, p.targets + i, p.pos_weight, part.end - part.begin, p.losses + i,
                             gradients + i);
            }
        });
    });
}

// After a linear layer with `p.M` rows and `p.K` outputs.
template <class S>
void linear_binary_cross_entropy(const LogisticProblem<S>& p, const LinearProblem<S>& linear,
                                 const LinearGradients<S>& gradients, int threads, Workspace& workspace) {
    linear_row_losses(
        linear, gradients,
        [&](Index m, S* logits) {
            logistic_row(p, logits, p.targets + m * p.K, p.pos_weight, p.K, p.losses + m * p.K, logits);
        },
        threads, workspace);
}

}  // namespace fastrnn

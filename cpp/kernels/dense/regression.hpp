// Losses of real numbers: squared and absolute error, Huber's and the quantile (pinball) loss, and their gradients.
//
// With a prediction x, its target y and r = x - y
//   squared   L = r^2                                     dL/dx = 2 r
//   absolute  L = |r|                                     dL/dx = 1, -1, 0 for r > 0, r < 0, r = 0
//   huber     L = r^2 / 2          where |r| <= delta     dL/dx = r
//               = delta (|r| - delta / 2)   elsewhere             delta sign(r)        (Huber 1964)
//   quantile  L = max(tau (y - x), (tau - 1) (y - x))     dL/dx = 1 - tau, -tau, 0 for r > 0, r < 0, r = 0
//                                                                      (Koenker, Bassett 1978)
// An element that is not counted has loss and gradient 0, whatever it holds.
#pragma once

#include <algorithm>

#include "kernels/runtime/parallel.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

enum class RegressionLoss { squared, absolute, huber, quantile };

template <class S>
struct RegressionProblem {
    RegressionLoss kind = RegressionLoss::squared;
    Index M = 0, Q = 0;
    const S* predictions = nullptr;     // [M, Q]
    const S* targets = nullptr;         // [M], the same for every column
    const bool* counted = nullptr;      // [M]; null: all
    const S* parameters = nullptr;      // [Q]: delta or tau of each column; null for those without
    S scale = 1;                        // of the gradients only
    S *losses = nullptr, *d = nullptr;  // [M, Q]
};

template <class S>
struct LossAndSlope {
    Vec<S> loss, slope;
};

template <RegressionLoss Kind, class S>
FASTRNN_INLINE LossAndSlope<S> regression_loss(Vec<S> r, Vec<S> parameter) {
    const Vec<S> zero = set(S(0)), one = set(S(1));
    if constexpr (Kind == RegressionLoss::squared) return {r * r, r + r};
    if constexpr (Kind == RegressionLoss::absolute) {
        const Vec<S> slope = where_positive(r, one) - where_positive(zero - r, one);
        return {r * slope, slope};  // NaN where r is
    }
    if constexpr (Kind == RegressionLoss::huber) {
        const Vec<S> size = zero - minus_magnitude(r), half = set(S(0.5));
        const Vec<S> far = size - parameter;
        return {where_positive(far, parameter * (size - half * parameter), half * r * r),
                where_positive(far, copy_sign(parameter, r), r)};
    }
    const Vec<S> above = where_positive(r, one - parameter), below = where_positive(zero - r, zero - parameter);
    const Vec<S> slope = above + below;
    // r times its slope, but NaN where r is.
    return {r * slope, slope};
}

// Elements begin .. end-1 of the flat arrays, in blocks. A target of one column lies as it is compared; one of several
// is spread over them.
template <RegressionLoss Kind, class S>
void regression_elements(const RegressionProblem<S>& p, Range part) {
    constexpr Index block = 256;
    alignas(64) S spread[block + 16], counted[block + 16], parameter[block + 16];
    std::fill_n(counted, block, S(1));
    std::fill_n(parameter, block, p.parameters ? p.parameters[0] : S(0));
    Index m = part.begin / p.Q, q = part.begin % p.Q;
    for (Index i = part.begin; i < part.end; i += block) {
        const Index count = std::min(block, part.end - i);
        const S* const y = p.Q == 1 ? p.targets + i : spread;
        if (p.Q == 1 && p.counted)
            for (Index k = 0; k < count; ++k) counted[k] = p.counted[i + k] ? S(1) : S(0);
        for (Index k = 0; p.Q > 1 && k < count; ++k) {
            spread[k] = p.targets[m];
            if (p.counted) counted[k] = p.counted[m] ? S(1) : S(0);
            if (p.parameters) parameter[k] = p.parameters[q];
            if (++q == p.Q) q = 0, ++m;
        }
        for (Index k = 0; k < count; k += lanes<S>) {
            const Index left = count - k;
            const Vec<S> r = load_first(p.predictions + i + k, left) - load_first(y + k, left);
            const auto [loss, slope] = regression_loss<Kind>(r, load_first(parameter + k, left));
            const Vec<S> real = load_first(counted + k, left);
            store_first(p.losses + i + k, where_positive(real, loss), left);
            store_first(p.d + i + k, where_positive(real, slope * set(p.scale)), left);
        }
    }
}

template <class S>
void regression_losses(const RegressionProblem<S>& p, int threads) {
    const Index count = p.M * p.Q;
    if (count == 0) return;
    run_team(Sharing::of(threads, 4.0 * double(count)), [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range part = worker.part(count, piece, 1024);
            if (part.begin >= part.end) return;
            if (p.kind == RegressionLoss::squared) regression_elements<RegressionLoss::squared>(p, part);
            if (p.kind == RegressionLoss::absolute) regression_elements<RegressionLoss::absolute>(p, part);
            if (p.kind == RegressionLoss::huber) regression_elements<RegressionLoss::huber>(p, part);
            if (p.kind == RegressionLoss::quantile) regression_elements<RegressionLoss::quantile>(p, part);
        });
    });
}

}  // namespace fastrnn

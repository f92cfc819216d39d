// Optimisers, clipping and norms, each one pass over flat arrays of n scalars. Formulas and order of operations are
// those of PyTorch's torch.optim. Gradients are multiplied by `gradient_scale` as they are read, so that clipping by
// norm needs no extra pass.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/runtime/parallel.hpp"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn {

// Calls f(i, width) for every vector of 0 .. n-1, width scalars before the end of the worker's part.
template <class S, class F>
void for_vectors(Index n, int threads, F&& f) {
    constexpr Index grain = 4096;
    run_team(Sharing::of(threads, double(n)), [&](const Worker& worker) {
        worker.share([&](int piece) {
            const auto [begin, end] = worker.part(n, piece, grain);
            for (Index i = begin; i < end; i += lanes<S>) f(i, end - i);
        });
    });
}

template <class S>
struct SgdSettings {
    S learning_rate, momentum, weight_decay;
    bool nesterov;
    S gradient_scale;
};

// Momentum (Polyak 1964; Nesterov's form after Sutskever et al. 2013). If momentum is 0, `m` [n] is not used and may be
// null.
template <class S>
void sgd_step(S* p, const S* g, S* m, Index n, const SgdSettings<S>& s, int threads) {
    const Vec<S> rate = set(-s.learning_rate), momentum = set(s.momentum), decay = set(s.weight_decay);
    const Vec<S> scale = set(s.gradient_scale);
    for_vectors<S>(n, threads, [&](Index i, Index width) {
        const Vec<S> value = load_first(p + i, width);
        Vec<S> d = fma(decay, value, load_first(g + i, width) * scale);
        if (m && s.momentum != 0) {
            const Vec<S> velocity = fma(momentum, load_first(m + i, width), d);
            store_first(m + i, velocity, width);
            d = s.nesterov ? fma(momentum, velocity, d) : velocity;
        }
        store_first(p + i, fma(rate, d, value), width);
    });
}

template <class S>
struct RmspropSettings {
    S learning_rate, alpha, epsilon, weight_decay, gradient_scale;
};

// Hinton's lecture 6e of "Neural Networks for Machine Learning" (2012).
template <class S>
void rmsprop_step(S* p, const S* g, S* v, Index n, const RmspropSettings<S>& s, int threads) {
    const Vec<S> alpha = set(s.alpha), rest = set(S(1) - s.alpha), decay = set(s.weight_decay);
    for_vectors<S>(n, threads, [&](Index i, Index width) {
        const Vec<S> value = load_first(p + i, width);
        const Vec<S> d = fma(decay, value, load_first(g + i, width) * set(s.gradient_scale));
        const Vec<S> square = fma(rest * d, d, alpha * load_first(v + i, width));
        store_first(v + i, square, width);
        store_first(p + i, value - set(s.learning_rate) * d / (sqrt(square) + set(s.epsilon)), width);
    });
}

struct AdamSettings {
    Index step = 1;  // 1 for the first
    double learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
    bool decoupled = false;  // AdamW (Loshchilov and Hutter 2019) rather than decay in the gradient
    double gradient_scale = 1;
};

// Adam (Kingma and Ba 2015).
template <class S>
void adam_step(S* p, const S* g, S* m, S* v, Index n, const AdamSettings& s, int threads) {
    const double correction1 = 1 - std::pow(s.beta1, double(s.step)),
                 correction2 = 1 - std::pow(s.beta2, double(s.step));
    const Vec<S> keep = set(S(s.decoupled ? 1 - s.learning_rate * s.weight_decay : 1));
    const Vec<S> decay = set(S(s.decoupled ? 0 : s.weight_decay));
    const Vec<S> rest1 = set(S(1 - s.beta1)), beta2 = set(S(s.beta2)), rest2 = set(S(1 - s.beta2));
    const Vec<S> rate = set(S(s.learning_rate / correction1)), root = set(S(std::sqrt(correction2)));
    const Vec<S> epsilon = set(S(s.epsilon)), scale = set(S(s.gradient_scale));
    for_vectors<S>(n, threads, [&](Index i, Index width) {
        const Vec<S> old = load_first(p + i, width), value = old * keep;
        const Vec<S> d = fma(decay, old, load_first(g + i, width) * scale);
        const Vec<S> first = load_first(m + i, width), mean = fma(rest1, d - first, first);
        const Vec<S> square = fma(rest2 * d, d, beta2 * load_first(v + i, width));
        store_first(m + i, mean, width);
        store_first(v + i, square, width);
        store_first(p + i, value - rate * mean / (sqrt(square) / root + epsilon), width);
    });
}

// The sum of squares of n scalars, each times `factor`, in double: eight accumulators per block of 4096, then the
// blocks in order.
template <class S>
double sum_of_squares(const S* values, Index n, double factor, int threads, Workspace& workspace) {
    constexpr Index block = 4096;
    const Index blocks = (n + block - 1) / block;
    double* partial = workspace.take<double>(blocks);
    run_team(Sharing::of(threads, double(n)), [&](const Worker& worker) {
        worker.share([&](int piece) {
            const auto [begin, end] = worker.part(blocks, piece);
            for (Index b = begin; b < end; ++b) {
                const S* from = values + b * block;
                const Index count = std::min(block, n - b * block);
                double sum[8] = {};
                for (Index i = 0; i < count; i += 8)
                    for (Index j = 0; j < std::min<Index>(8, count - i); ++j) {
                        const double value = double(from[i + j]) * factor;
                        sum[j] += value * value;
                    }
                for (Index half = 4; half > 0; half /= 2)
                    for (Index j = 0; j < half; ++j) sum[j] += sum[j + half];
                partial[b] = sum[0];
            }
        });
    });
    double total = 0;
    for (Index b = 0; b < blocks; ++b) total += partial[b];
    return total;
}

// The Euclidean norm of n scalars in double. Squares of floats are always normal doubles; those of doubles may overflow
// or vanish, and are then summed again after a power of two has brought the largest scalar near 1.
template <class S>
double norm(const S* values, Index n, int threads, Workspace& workspace) {
    const double total = sum_of_squares(values, n, 1.0, threads, workspace);
    const bool usable = total >= 0x1p-900 && total <= std::numeric_limits<double>::max();
    if (sizeof(S) < sizeof(double) || usable || std::isnan(total)) return std::sqrt(total);
    double top = 0;
    for (Index i = 0; i < n; ++i) top = std::max(top, std::abs(double(values[i])));
    if (top == 0 || std::isinf(top)) return top;
    const int exponent = std::min(std::max(std::ilogb(top), -1000), 1000);
    const double scaled = sum_of_squares(values, n, std::ldexp(1.0, -exponent), threads, workspace);
    return std::ldexp(std::sqrt(scaled), exponent);
}

template <class S>
void scale(S* values, Index n, S factor, int threads) {
    for_vectors<S>(n, threads, [&](Index i, Index width) {
        store_first(values + i, load_first(values + i, width) * set(factor), width);
    });
}

// Clips every value to -limit .. limit; NaN stays NaN.
template <class S>
void clip_value(S* values, Index n, S limit, int threads) {
    for_vectors<S>(n, threads, [&](Index i, Index width) {
        store_first(values + i, min(max(load_first(values + i, width), set(-limit)), set(limit)), width);
    });
}

}  // namespace fastrnn

// Attention over the steps of a sequence: scores, their softmax over the steps and the weighted mean of the values, in
// one pass, and its backward pass.
//
// With a query q_t of a decoder's step t and the key k_s and value h_s of a source step s of the same sequence
//   additive        e_ts = v . tanh(q_t + k_s)      Bahdanau, Cho, Bengio (2015); q = W query, k = U h + b
//   multiplicative  e_ts = scale (q_t . k_s)        Luong, Pham, Manning (2015); k = W h ("general") or h ("dot")
//   w_ts = softmax over s of e_ts,  context_t = sum over s of w_ts h_s,
// and backwards, with dw_ts = dcontext_t . h_s + dweights_ts
//   de_ts  = w_ts (dw_ts - sum over s of w_ts dw_ts),  dh_s += sum over t of w_ts dcontext_t
//   additive        y_ts = tanh(q_t + k_s),  dz_ts = de_ts v (1 - y_ts^2),  dv += sum over t, s of de_ts y_ts
//                   dq_t = sum over s of dz_ts,  dk_s += sum over t of dz_ts
//   multiplicative  dq_t = scale sum over s of de_ts k_s,  dk_s += scale sum over t of de_ts q_t.
// y is computed again in the backward pass: nothing of the size T N steps A is ever kept.
//
// Steps after a sequence's end are not read: their weights are 0, and so are their gradients. Sums over t go from the
// last step to the first, so that steps one by one, the last one first, give the same bits as all at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/dense/softmax.hpp"
#include "kernels/matrix/small_products.hpp"

namespace fastrnn {

template <class S>
struct Attention {
    Index T = 0, N = 0, rows = 0, steps = 0;     // queries [T, N]; memory: `rows` sequences of at most `steps`
    Index A = 0, K = 0;                          // widths of keys and values
    const S* queries = nullptr;                  // [T, N, A]; null stands for zeros
    const S *keys = nullptr, *values = nullptr;  // [R, A], [R, K]: all steps, sequence by sequence
    const S* score = nullptr;                    // v [A]; null: multiplicative
    S scale = 1;                                 // of multiplicative scores
    const std::int64_t* lengths = nullptr;       // [rows], 0 .. steps
    const Index* starts = nullptr;               // [rows], the first of each sequence's steps
    const std::int64_t* chosen = nullptr;        // [N], the row that each query attends to; null: row n
    Interrupt* interrupt = nullptr;

    Index row_of(Index n) const { return chosen ? Index(chosen[n]) : n; }
    double work() const {
        return double(T) * double(N) * double(steps) * ((score ? 20.0 : 1.0) * double(A) + double(K));
    }
};

// What the backward pass gets and returns. It adds to the gradients of the memory, or overwrites them if `fresh`.
template <class S>
struct AttentionGradients {
    const S *weights = nullptr, *dcontext = nullptr, *dweights = nullptr;  // [T, N, steps], [T, N, K]; last: or null
    S* dqueries = nullptr;                                                 // [T, N, A], or null
    S *dkeys = nullptr, *dvalues = nullptr;  // [R, A], [R, K]: all steps, sequence by sequence
    S* dscore = nullptr;                     // [rows, A], each row's own; or null
    bool fresh = false;
};

// Queries that are taken together.
inline constexpr Index attention_block = 32;

// v . tanh(q + k)
template <class S>
FASTRNN_INLINE S additive_score(const S* v, const S* q, const S* k, Index A) {
    LaneSum<S> sum;
    Index a = 0;
    for (; a + lanes<S> <= A; a += lanes<S>) sum.put(a, load(v + a) * tanh(load(q + a) + load(k + a)));
    if (const Index left = A - a; left > 0)
        sum.put(a, load_first(v + a, left) * tanh(load_first(q + a, left) + load_first(k + a, left)));
    return sum.total();
}

// Replaces the scores of a query by their softmax, and those after the end of its sequence by 0.
template <class S>
void attention_softmax(S* e, Index length, Index steps) {
    if (length > 0) {
        const Vec<S> sum = set(exponentials(e, length, false).sum);
        for (Index s = 0; s < length; s += lanes<S>)
            store_first(e + s, load_first(e + s, length - s) / sum, length - s);
    }
    std::fill(e + length, e + steps, S(0));
}

// weights [T, N, steps], context [T, N, K].
template <class S>
void attention_forward(const Attention<S>& p, S* weights, S* context, int threads, Workspace& workspace) {
    S* const zeros = workspace.take<S>(p.A);
    std::fill(zeros, zeros + p.A, S(0));
    const Index blocks = (p.T + attention_block - 1) / attention_block;
    run_team(Sharing::of(threads, p.work()), [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range items = worker.part(p.N * blocks, piece);
            for (Index item = items.begin; item < items.end && !p.interrupt->check(worker); ++item) {
                const Index n = item / blocks, row = p.row_of(n), length = Index(p.lengths[row]);
                const Index first = item % blocks * attention_block, count = std::min(attention_block, p.T - first);
                const Index q_row = p.queries ? p.N * p.A : 0, w_row = p.N * p.steps;
                const S* const q = p.queries ? p.queries + (first * p.N + n) * p.A : zeros;
                const S* const keys = p.keys + p.starts[row] * p.A;
                S* const w = weights + (first * p.N + n) * p.steps;
                if (p.score)
                    for (Index t = 0; t < count; ++t)
                        for (Index s = 0; s < length; ++s)
                            w[t * w_row + s] = additive_score(p.score, q + t * q_row, keys + s * p.A, p.A);
                else
                    dot_products(q, q_row, count, keys, p.A, length, p.A, p.scale, w, w_row);
                for (Index t = 0; t < count; ++t) attention_softmax(w + t * w_row, length, p.steps);
                combine_rows(Strided<S>{w, w_row, 1}, count, p.values + p.starts[row] * p.K, p.K, length,
                             context + (first * p.N + n) * p.K, p.N * p.K, p.K, false);
            }
        });
    });
}

// Replaces dw, the gradient of a query's weights w, by that of its scores.
template <class S>
void attention_softmax_backward(const S* w, const S* dweights, S* dw, Index length, S scale) {
    LaneSum<S> sum;
    sum.add(length, [&](Index s) {
        Vec<S> d = load_first(dw + s, length - s);
        if (dweights) {
            d = d + load_first(dweights + s, length - s);
            store_first(dw + s, d, length - s);
        }
        return load_first(w + s, length - s) * d;
    });
    const Vec<S> mean = set(sum.total()), factor = set(scale);
    for (Index s = 0; s < length; s += lanes<S>) {
        const Index left = length - s;
        store_first(dw + s, factor * (load_first(w + s, left) * (load_first(dw + s, left) - mean)), left);
    }
}

// One block of a sequence's queries in the backward pass, in the order last to first: [count, ...].
template <class S>
struct AttentionBlock {
    Index count, length, A;
    const S *q, *keys, *de;  // [count, A], [length, A], [count, steps]
    Index de_row;
    S *dq, *dkeys, *dscore;  // [count, A] with rows dq_row apart, or null; [length, A]; [A]
    Index dq_row;            // negative: the last query comes first
};

// `Vectors` vectors of additive scores' gradients, from column a on; the last one has `left` elements.
template <int Vectors, bool Whole, class S>
FASTRNN_INLINE void additive_columns(const AttentionBlock<S>& b, const S* v, Index a, Index left) {
    const auto read = [&](const S* from) {
        if constexpr (Whole) return load(from);
        return load_first(from, left);
    };
    const auto write = [&](S* to, Vec<S> value) {
        if constexpr (Whole) return store(to, value);
        store_first(to, value, left);
    };
    Vec<S> scores[Vectors], dv[Vectors];
    FASTRNN_UNROLL
    for (int i = 0; i < Vectors; ++i) {
        scores[i] = read(v + a + i * lanes<S>);
        dv[i] = read(b.dscore + a + i * lanes<S>);
    }
    for (Index t = 0; t < b.count; ++t) {
        Vec<S> q[Vectors], dq[Vectors];
        FASTRNN_UNROLL
        for (int i = 0; i < Vectors; ++i) {
            q[i] = read(b.q + t * b.A + a + i * lanes<S>);
            dq[i] = set(S(0));
        }
        for (Index s = 0; s < b.length; ++s) {
            const Vec<S> de = set(b.de[t * b.de_row + s]);
            FASTRNN_UNROLL
            for (int i = 0; i < Vectors; ++i) {
                const Index at = s * b.A + a + i * lanes<S>;
                const Vec<S> y = tanh(q[i] + read(b.keys + at));
                const Vec<S> dz = de * (scores[i] * dtanh(y));
                dv[i] = fma(de, y, dv[i]);
                dq[i] = dq[i] + dz;
                write(b.dkeys + at, read(b.dkeys + at) + dz);
            }
        }
        if (!b.dq) continue;
        FASTRNN_UNROLL
        for (int i = 0; i < Vectors; ++i) write(b.dq + t * b.dq_row + a + i * lanes<S>, dq[i]);
    }
    FASTRNN_UNROLL
    for (int i = 0; i < Vectors; ++i) write(b.dscore + a + i * lanes<S>, dv[i]);
}

template <class S>
void additive_backward(const AttentionBlock<S>& b, const S* v) {
    constexpr int wide = 2;
    Index a = 0;
    for (; a + wide * lanes<S> <= b.A; a += wide * lanes<S>) additive_columns<wide, true>(b, v, a, wide * lanes<S>);
    for (; a + lanes<S> <= b.A; a += lanes<S>) additive_columns<1, true>(b, v, a, lanes<S>);
    if (a < b.A) additive_columns<1, false>(b, v, a, b.A - a);
}

// Copies `count` rows, the last one first.
template <class S>
void gather_backwards(const S* last, Index row, Index count, Index width, S* to) {
    for (Index t = 0; t < count; ++t) std::copy(last - t * row, last - t * row + width, to + t * width);
}

// The backward pass of one sequence. `scratch`: attention_scratch scalars.
template <class S>
void attention_backward_row(const Attention<S>& p, const AttentionGradients<S>& d, Index n, S* scratch) {
    const Index row = p.row_of(n), length = Index(p.lengths[row]);
    const S* const keys = p.keys + p.starts[row] * p.A;
    const S* const values = p.values + p.starts[row] * p.K;
    S* const dkeys = d.dkeys + p.starts[row] * p.A;
    S* const dvalues = d.dvalues + p.starts[row] * p.K;
    S* const dscore = d.dscore ? d.dscore + row * p.A : nullptr;
    if (d.fresh) {
        std::fill(dkeys, dkeys + length * p.A, S(0));
        std::fill(dvalues, dvalues + length * p.K, S(0));
        if (dscore) std::fill(dscore, dscore + p.A, S(0));
    }
    S* const dcontext = scratch;
    S* const q = dcontext + attention_block * p.K;
    S* const de = q + attention_block * p.A;
    const Index w_row = p.N * p.steps;
    if (!p.queries) std::fill(q, q + attention_block * p.A, S(0));
    for (Index end = p.T; end > 0; end -= std::min(end, attention_block)) {
        const Index count = std::min(end, attention_block), last = (end - 1) * p.N + n;
        gather_backwards(d.dcontext + last * p.K, p.N * p.K, count, p.K, dcontext);
        if (p.queries) gather_backwards(p.queries + last * p.A, p.N * p.A, count, p.A, q);
        dot_products(dcontext, p.K, count, values, p.K, length, p.K, S(1), de, p.steps);
        const S* const w = d.weights + last * p.steps;
        for (Index t = 0; t < count; ++t)
            attention_softmax_backward(w - t * w_row, d.dweights ? d.dweights + last * p.steps - t * w_row : nullptr,
                                       de + t * p.steps, length, p.score ? S(1) : p.scale);
        combine_rows(Strided<S>{w, 1, -w_row}, length, dcontext, p.K, count, dvalues, p.K, p.K, true);
        S* const dq = d.dqueries ? d.dqueries + last * p.A : nullptr;
        if (p.score) {
            additive_backward(
                AttentionBlock<S>{count, length, p.A, q, keys, de, p.steps, dq, dkeys, dscore, -p.N * p.A}, p.score);
        } else {
            if (dq) combine_rows(Strided<S>{de, p.steps, 1}, count, keys, p.A, length, dq, -p.N * p.A, p.A, false);
            combine_rows(Strided<S>{de, 1, p.steps}, length, q, p.A, count, dkeys, p.A, p.A, true);
        }
    }
}

// The rows that queries attend to must differ from each other.
template <class S>
void attention_backward(const Attention<S>& p, const AttentionGradients<S>& d, int threads, Workspace& workspace) {
    const Index size = attention_block * (p.A + p.K + p.steps) + alignment;
    S* const scratch = workspace.take<S>(threads * size);
    run_team(Sharing::of(threads, 3 * p.work()), [&](const Worker& worker) {
        const FlushDenormals flush;
        worker.share([&](int piece) {
            const Range own = worker.part(p.N, piece);
            for (Index n = own.begin; n < own.end && !p.interrupt->check(worker); ++n)
                attention_backward_row(p, d, n, scratch + worker.rank * size);
        });
    });
}

// Copies the steps of all sequences, one sequence after another: to [R, K], from [steps, N, K].
template <class S>
void attention_rows(const S* from, const std::int64_t* lengths, Index N, Index K, S* to) {
    for (Index n = 0; n < N; ++n)
        for (Index s = 0; s < lengths[n]; ++s, to += K)
            std::copy(from + (s * N + n) * K, from + (s * N + n + 1) * K, to);
}

// The way back: to [steps, N, K] = one + two [R, K], zeros after each end; `two` may be null.
template <class S>
void attention_steps(const S* one, const S* two, const std::int64_t* lengths, const Index* starts, Index steps, Index N,
                     Index K, S* to) {
    for (Index s = 0; s < steps; ++s)
        for (Index n = 0; n < N; ++n, to += K) {
            const Index from = (starts[n] + s) * K;
            if (s >= lengths[n])
                std::fill(to, to + K, S(0));
            else if (!two)
                std::copy(one + from, one + from + K, to);
            else
                for (Index k = 0; k < K; ++k) to[k] = one[from + k] + two[from + k];
        }
}

}  // namespace fastrnn

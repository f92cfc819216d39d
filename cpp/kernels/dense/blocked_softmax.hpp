// The softmax and cross-entropy behind a linear layer for a large vocabulary: in blocks of it, so that a block of the
// weights, of their gradient and of the logits rests in the second-level cache while all rows of a chunk meet it, and
// nothing but the chunk's logits, once, is as wide as the vocabulary. Three products a block, none of them twice.
//
// Blocks are shared among threads for what is the vocabulary's (exponentials, dweight), rows for what is the rows' own
// (losses, dh): every element is one chain in one order, whatever the number of threads.
#pragma once

#include "kernels/dense/softmax.hpp"

namespace fastrnn {

inline constexpr Index least_wide_vocabulary = 1024;
inline constexpr Index vocabulary_block = 256;
inline constexpr Index wide_stride = vocabulary_block + 16;  // no power of two, whose rows would share cache lines

// Rows of a chunk: as many as dweight takes at once, fewer where their logits would take more than 64 MiB; but the
// weights and their gradient are read once a chunk, so never few.
inline Index wide_chunk(Index M, Index V) {
    constexpr Index most_logits = Index(1) << 24, least = 64;
    return std::min(M, std::min(outer_depth, std::max(least, most_logits / V)));
}

template <class S>
class WideCrossEntropy {
   public:
    WideCrossEntropy(const LinearCrossEntropy<S>& problem, int threads, Workspace& workspace)
        : p(problem),
          M(p.linear.M),
          K(p.linear.K),
          V(p.linear.F),
          blocks((V + vocabulary_block - 1) / vocabulary_block),
          chunk(wide_chunk(M, V)),
          training(p.dh || p.dweight) {
        const Index kept = training ? blocks : threads;
        values = workspace.take<S>(kept * chunk * wide_stride);
        parts = workspace.take<Exponentials<S>>(chunk * blocks);
        targets = workspace.take<Target<S>>(chunk);
        bias = pad_bias(p.linear.bias, V, workspace.take<S>(round_up_to_lanes<S>(V)));
        h_rows = row_list(p.linear.x, M, K, workspace);
        dh_rows = p.dh ? row_list(p.dh, M, K, workspace) : nullptr;
        lists = workspace.take<S*>(threads * chunk);
        panels_each = std::max(panels_size<S>(K, vocabulary_block), panels_size<S>(vocabulary_block, K));
        panels = workspace.take<S>(threads * panels_each);
        outer = workspace.take<S>(threads * outer_workspace<S>(K));
    }

    void run(const Worker& worker) {
        Interrupt& interrupt = *p.linear.interrupt;
        // Between a phase that looks for interrupts and the next such lie two barriers: all see the same `stop`.
        const auto stopped = [&] {
            worker.barrier();
            const bool stop = interrupt.stop.load(std::memory_order_relaxed);
            worker.barrier();
            return stop;
        };
        for (Index m0 = 0; m0 < M; m0 += chunk) {
            const Index count = std::min(chunk, M - m0);
            const Range own = worker.part(blocks);
            for (Index b = own.begin; b < own.end && !interrupt.check(worker); ++b) exponentiate(worker, m0, count, b);
            if (stopped()) return;
            const Range rows = worker.part(count, max_rows<panel_vectors>);
            for (Index m = rows.begin; m < rows.end; ++m)
                p.losses[m0 + m] = finish_parts(parts + m * blocks, blocks, V, targets[m]);
            worker.barrier();
            if (!training) continue;
            to_gradients(worker, m0, count, own);
            worker.barrier();
            if (p.dh)
                for (Index b = 0; b < blocks && !interrupt.check(worker); ++b) add_to_dh(worker, m0, rows, b);
            if (stopped()) return;
        }
    }

   private:
    Range columns(Index b) const { return {b * vocabulary_block, std::min((b + 1) * vocabulary_block, V)}; }

    // The rows of a block's values, one behind the other.
    S** rows_of(const Worker& worker, Index b, Index count) const {
        S** const list = lists + worker.rank * chunk;
        S* const first = values + (training ? b : worker.rank) * chunk * wide_stride;
        for (Index m = 0; m < count; ++m) list[m] = first + m * wide_stride;
        return list;
    }

    // Logits of a block, then exp(logit - the block's highest).
    void exponentiate(const Worker& worker, Index m0, Index count, Index b) const {
        const auto [begin, end] = columns(b);
        S* const packed = panels + worker.rank * panels_each;
        S** const rows = rows_of(worker, b, count);
        pack_transposed(p.linear.weight + begin * K, end - begin, K, packed);
        multiply_panels(Product<S>{h_rows + m0, rows, packed, bias + begin, K, end - begin}, 0, count);
        for (Index m = 0; m < count; ++m) {
            const std::int64_t id = p.targets[m0 + m];
            if (id == no_target ? b == 0 : id >= begin && id < end)
                targets[m] = {id, id == no_target ? S(0) : rows[m][id - begin], p.smoothing, p.scale};
            parts[m * blocks + b] = exponentials(rows[m], end - begin, p.smoothing != S(0));
        }
    }

    // Exponentials of the worker's blocks become gradients of logits, and these gradients of weights and bias.
    void to_gradients(const Worker& worker, Index m0, Index count, Range own) const {
        S* const packed_a = outer + worker.rank * outer_workspace<S>(K);
        S* const packed_h = packed_a + outer_depth * outer_rows + 64 / sizeof(S);
        for (Index k0 = 0; k0 == 0 || (p.dweight && k0 < K); k0 += outer_columns) {
            const Range part{k0, std::min(k0 + outer_columns, K)};
            const OuterSide<S> side{h_rows + m0, nullptr, K};
            if (p.dweight && count > outer_few) pack_side(side, count, part, packed_h);
            for (Index b = own.begin; b < own.end; ++b) {
                const auto [begin, end] = columns(b);
                S** const rows = rows_of(worker, b, count);
                if (k0 == 0) {
                    for (Index m = 0; m < count; ++m)
                        finish_gradient(rows[m], begin, end - begin, V, parts[m * blocks + b].top, targets[m]);
                    if (p.dbias) accumulate_rows<S>(rows, count, 0, end - begin, p.dbias + begin);
                }
                if (!p.dweight) continue;
                const OuterProduct<S> product{rows, wide_stride, count, {{side.b, p.dweight + begin * K, K}, {}}};
                if (count > outer_few)
                    accumulate_packed<S>(product, {0, end - begin}, {part, {0, 0}}, {packed_h, nullptr}, packed_a);
                else if (k0 == 0)
                    accumulate_few(product, {0, end - begin});
            }
        }
    }

    // dh += dlogits W, for a block of the vocabulary: a sum of sums, which keeps its accuracy over a long vocabulary.
    void add_to_dh(const Worker& worker, Index m0, Range own, Index b) const {
        const auto [begin, end] = columns(b);
        S* const packed = panels + worker.rank * panels_each;
        pack_rows(p.linear.weight + begin * K, end - begin, K, 0, end - begin, packed);
        Product<S> product{rows_of(worker, b, own.end), dh_rows + m0, packed, nullptr, end - begin, K};
        product.add = b > 0;
        multiply_panels(product, own.begin, own.end);
    }

    const LinearCrossEntropy<S>& p;
    const Index M, K, V, blocks, chunk;
    const bool training;
    S* values;  // training: [blocks][chunk][wide_stride]; else a block for each thread
    Exponentials<S>* parts;
    Target<S>* targets;
    const S* bias;
    const S* const* h_rows;
    S* const* dh_rows;
    S** lists;
    Index panels_each;
    S *panels, *outer;
};

template <class S>
void linear_cross_entropy(const LinearCrossEntropy<S>& p, int threads, Workspace& workspace) {
    if (p.linear.F < least_wide_vocabulary) return narrow_cross_entropy(p, threads, workspace);
    WideCrossEntropy<S> wide(p, threads, workspace);
    run_team(useful_threads(threads, double(p.linear.M) * double(p.linear.K) * double(p.linear.F)),
             [&](const Worker& worker) {
                 const FlushDenormals flush;
                 wide.run(worker);
             });
}

}  // namespace fastrnn

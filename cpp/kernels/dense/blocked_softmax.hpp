// Softmax and cross-entropy after a linear layer with a large vocabulary, in blocks of the vocabulary: a block of the
// weights, of their gradient and of the logits stays in the L2 cache while all rows of a chunk are multiplied with it.
// Only the chunk's logits, stored once, are as wide as the vocabulary. Three products per block, none repeated.
//
// Threads share blocks of the vocabulary for exponentials and dweight, and rows for losses and dh: every element is one
// chain in one order, whatever the number of threads.
#pragma once

#include "kernels/dense/softmax.hpp"

namespace fastrnn {

inline constexpr Index min_blocked_vocabulary = 1024;
inline constexpr Index vocabulary_block = 256;
inline constexpr Index block_stride = vocabulary_block + 16;  // not a power of two: rows would share cache sets

// Rows of a chunk: one packed block of dweight's product, fewer if their logits would exceed 64 MiB; never very few,
// because every chunk reads the weights and their gradient.
inline Index rows_per_chunk(Index M, Index V) {
    constexpr Index max_logits = Index(1) << 24, min_rows = 64;
    return std::min(M, std::min(outer_depth, std::max(min_rows, max_logits / V)));
}

template <class S>
class BlockedCrossEntropy {
   public:
    BlockedCrossEntropy(const LinearCrossEntropyProblem<S>& problem, int threads, Workspace& workspace)
        : p(problem),
          M(p.linear.M),
          K(p.linear.K),
          V(p.linear.F),
          blocks((V + vocabulary_block - 1) / vocabulary_block),
          chunk(rows_per_chunk(M, V)),
          training(p.dh || p.dweight),
          narrow(p.linear.narrow) {
        const Index kept = training ? blocks : threads;
        values = workspace.take<S>(kept * chunk * block_stride);
        parts = workspace.take<Exponentials<S>>(chunk * blocks);
        targets = workspace.take<Target<S>>(chunk);
        bias = pad_bias(p.linear.bias, V, workspace.take<S>(round_up_to_lanes<S>(V)));
        h_rows = row_list(p.linear.x, M, K, workspace);
        dh_rows = p.dh ? row_list(p.dh, M, K, workspace) : nullptr;
        lists = workspace.take<S*>(threads * chunk);
        panels_per_worker = block_panels_size<S>(narrow, vocabulary_block, K);
        panels = workspace.take<S>(threads * panels_per_worker);
        outer_size = outer_memory<S>(narrow, K);
        outer = workspace.take<S>(threads * outer_size);
        memory = narrow_memory(narrow, std::max(K, vocabulary_block), chunk, threads, workspace);
    }

    void run(const Worker& worker) {
        Interrupt& interrupt = *p.linear.interrupt;
        for (Index m0 = 0; m0 < M; m0 += chunk) {
            const Index count = std::min(chunk, M - m0);
            const auto blocks_of = [&](int piece) { return worker.part(blocks, piece); };
            const auto rows_of = [&](int piece) { return worker.part(count, piece, max_rows<panel_vectors>); };
            worker.share([&](int piece) {
                const Range own = blocks_of(piece);
                for (Index b = own.begin; b < own.end && !interrupt.check(worker); ++b)
                    exponentiate(worker, m0, count, b);
            });
            if (interrupt.stop.load(std::memory_order_relaxed)) return;
            worker.share([&](int piece) {
                const Range rows = rows_of(piece);
                for (Index m = rows.begin; m < rows.end; ++m)
                    p.losses[m0 + m] = combine_parts(parts + m * blocks, blocks, V, targets[m]);
            });
            if (!training) continue;
            worker.share([&](int piece) { to_gradients(worker, m0, count, blocks_of(piece)); });
            if (p.dh)
                worker.share([&](int piece) {
                    const Range rows = rows_of(piece);
                    for (Index b = 0; b < blocks && !interrupt.check(worker); ++b) add_to_dh(worker, m0, rows, b);
                });
            if (interrupt.stop.load(std::memory_order_relaxed)) return;
        }
    }

   private:
    Range columns(Index b) const { return {b * vocabulary_block, std::min((b + 1) * vocabulary_block, V)}; }

    // Pointers to the rows of a block's values.
    S** rows_of(const Worker& worker, Index b, Index count) const {
        S** const list = lists + worker.rank * chunk;
        S* const first = values + (training ? b : worker.rank) * chunk * block_stride;
        for (Index m = 0; m < count; ++m) list[m] = first + m * block_stride;
        return list;
    }

    // Computes the logits of a block, then exp(logit - the block's maximum).
    void exponentiate(const Worker& worker, Index m0, Index count, Index b) const {
        const auto [begin, end] = columns(b);
        S** const rows = rows_of(worker, b, count);
        const Panels<S> packed =
            take_plain_panels(narrow, p.linear.weight + begin * K, end - begin, K, pieces_of(worker));
        Product<S> product{h_rows + m0, rows, packed, bias + begin, K, end - begin};
        product.memory = memory.of(worker.rank);
        multiply_panels(product, 0, count);
        for (Index m = 0; m < count; ++m) {
            const std::int64_t id = p.targets[m0 + m];
            if (id == no_target ? b == 0 : id >= begin && id < end)
                targets[m] = {id, id == no_target ? S(0) : rows[m][id - begin], p.smoothing, p.scale};
            parts[m * blocks + b] = exponentials(rows[m], end - begin, p.smoothing != S(0));
        }
    }

    PiecesOf<S> pieces_of(const Worker& worker) const { return {panels + worker.rank * panels_per_worker}; }

    // Turns the exponentials of some blocks into gradients of logits, and adds to dweight and dbias.
    void to_gradients(const Worker& worker, Index m0, Index count, Range own) const {
        S* const packed_a = outer + worker.rank * outer_size;
        S* const packed_h = narrow ? nullptr : packed_a + outer_depth * outer_rows + 64 / sizeof(S);
        for (Index k0 = 0; k0 == 0 || (p.dweight && k0 < K); k0 += outer_columns) {
            const Range part{k0, std::min(k0 + outer_columns, K)};
            const OuterSide<S> side{h_rows + m0, nullptr, K};
            if (p.dweight && !narrow && count > outer_unpacked) pack_side(side, count, part, packed_h);
            for (Index b = own.begin; b < own.end; ++b) {
                const auto [begin, end] = columns(b);
                S** const rows = rows_of(worker, b, count);
                if (k0 == 0) {
                    for (Index m = 0; m < count; ++m)
                        finish_gradient(rows[m], begin, end - begin, V, parts[m * blocks + b].top, targets[m]);
                    if (p.dbias) accumulate_rows<S>(rows, count, 0, end - begin, p.dbias + begin);
                }
                if (!p.dweight) continue;
                const OuterProduct<S> product{rows, block_stride, count, {{side.b, p.dweight + begin * K, K}, {}}};
                if (narrow) {
                    if (k0 == 0) accumulate_product(narrow, product, {0, end - begin}, packed_a);
                } else if (count > outer_unpacked)
                    accumulate_packed<S>(product, {0, end - begin}, {part, {0, 0}}, {packed_h, nullptr}, packed_a);
                else if (k0 == 0)
                    accumulate_unpacked(product, {0, end - begin});
            }
        }
    }

    // dh += dlogits W for one block of the vocabulary. Summing block sums stays accurate over a large vocabulary.
    void add_to_dh(const Worker& worker, Index m0, Range own, Index b) const {
        const auto [begin, end] = columns(b);
        const Panels<S> packed =
            take_transposed_panels(narrow, p.linear.weight + begin * K, end - begin, K, pieces_of(worker));
        Product<S> product{rows_of(worker, b, own.end), dh_rows + m0, packed, nullptr, end - begin, K};
        product.memory = memory.of(worker.rank);
        product.add = b > 0;
        multiply_panels(product, own.begin, own.end);
    }

    const LinearCrossEntropyProblem<S>& p;
    const Index M, K, V, blocks, chunk;
    const bool training;
    const NarrowKernels* const narrow;
    NarrowMemory memory;  // of each worker
    S* values;            // training: [blocks][chunk][block_stride]; else one block per thread
    Exponentials<S>* parts;
    Target<S>* targets;
    const S* bias;
    const S* const* h_rows;
    S* const* dh_rows;
    S** lists;
    Index panels_per_worker, outer_size;
    S *panels, *outer;
};

template <class S>
void linear_cross_entropy(const LinearCrossEntropyProblem<S>& p, int threads, Workspace& workspace) {
    if (p.linear.F < min_blocked_vocabulary) return unblocked_cross_entropy(p, threads, workspace);
    BlockedCrossEntropy<S> blocked(p, threads, workspace);
    run_team(Sharing::of(threads, double(p.linear.M) * double(p.linear.K) * double(p.linear.F)),
             [&](const Worker& worker) {
                 const FlushDenormals flush;
                 blocked.run(worker);
             });
}

}  // namespace fastrnn

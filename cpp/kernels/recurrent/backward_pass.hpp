// Backpropagation through time: the loop of forward.hpp in reverse, alone, shared by a team, or as part of a wave.
#pragma once

#include "kernels/recurrent/backward.hpp"

namespace fastrnn {

// The gradient of a row's first state: `carried` comes over the recurrent connection, `cut` from resets. In a segment
// that continues an earlier one they have different destinations.
template <class S>
void first_state_gradient(const BackwardProblem<S>& p, Index row, Range columns, Index width, const S* carried,
                          const S* cut, S* first, S* restart) {
    const Index at = p.batch.order[row] * width;
    const bool resets = p.batch.length[row] > 0 && p.batch.resets(0, row);
    for (Index j = columns.begin; j < columns.end; ++j) {
        const S sum = cut[j] + carried[j];
        first[at + j] = !p.resumed ? sum : resets ? S(0) : carried[j];
        if (p.resumed && restart) restart[at + j] = resets ? sum : cut[j];
    }
}

// A chunk of time in the backward pass.
struct ChunkPlace {
    Index s0, s1;  // steps s1-1 down to s0
    Index tokens;

    // The chunk of `steps` steps that step s-1 is in.
    static ChunkPlace of(const RaggedBatch& batch, Index s, Index steps) {
        const Index s1 = batch.steps() - (batch.steps() - s) / steps * steps, s0 = std::max<Index>(0, s1 - steps);
        return {s0, s1, batch.tokens(s0, s1)};
    }
};

// Steps from-1 down to `to`, which lie in one chunk. The rows may have been at the steps before on another thread.
template <class Cell, class S>
void backward_steps(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                    const Share& share, const ChunkPlace& chunk, Index from, Index to) {
    const Index N = p.batch.N, pause = steps_between_checks(N, p.sizes.H, p.sizes.dgates_width);
    const auto [begin, end] = share.rows;
    BackwardRows<S> rows = scratch.rows_of(p, share);
    Index token = p.batch.tokens(from, chunk.s1);
    if (from < p.batch.steps()) rows.end = p.batch.active(from, begin, end);
    const S* const before =
        from == chunk.s1 ? scratch.boundary : scratch.dgates + (token - p.batch.active(from, 0, N)) * scratch.width;
    for (Index row = begin; row < rows.end; ++row) rows.dgates_next[row] = before + row * scratch.width;
    for (Index s = from - 1; s >= to; --s) {
        if (s % pause == 0 && p.interrupt->check(share.team)) return;
        rows.running = rows.end;
        rows.end = p.batch.active(s, begin, end);
        point_step(p, scratch, s, token, rows);
        if (!p.by_units) list_tokens(p, scratch, rows);
        if constexpr (Cell::meets)
            cell.backward_step(rows);
        else
            for_units(rows, p.sizes.H, p.sizes.P, unit_grain<S>,
                      [&](const BackwardRows<S>& some) { cell.backward_step(some); });
        for (Index row = begin; row < rows.end; ++row) rows.dgates_next[row] = rows.dgates[row];
        token += p.batch.active(s, 0, N);
    }
}

// The lists of a whole chunk, where the team shares its steps.
template <class S>
void list_chunk(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, const Share& share,
                const ChunkPlace& chunk) {
    BackwardRows<S> rows = scratch.rows_of(p, share);
    share.parts(chunk.s1 - chunk.s0, 1, [&](Range some) {  // in the order of the chunk, the last step first
        Index token = p.batch.tokens(chunk.s1 - some.begin, chunk.s1);
        for (Index s = chunk.s1 - some.begin - 1; s >= chunk.s1 - some.end; --s) {
            rows.running = rows.end = p.batch.active(s, 0, p.batch.N);
            point_step(p, scratch, s, token, rows);
            list_tokens(p, scratch, rows);
            token += rows.end;
        }
    });
}

// Keeps the gate gradients of step s0 of some rows for the next chunk, which reuses their memory.
template <class S>
void keep_boundary(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, const ChunkPlace& chunk, Range rows,
                   Range columns) {
    const Index width = scratch.width, end = p.batch.active(chunk.s0, rows.begin, rows.end);
    const Index first = chunk.tokens - p.batch.active(chunk.s0, 0, p.batch.N);
    for (Index row = rows.begin; row < end; ++row) {
        const S* const from = scratch.dgates + (first + row) * width;
        std::copy(from + columns.begin, from + columns.end, scratch.boundary + row * width + columns.begin);
    }
}

// The gradient of the initial state.
template <class Cell, class S>
void finish_rows(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, const Share& share) {
    const Index H = p.sizes.H, P = p.sizes.P;
    BackwardRows<S> own = scratch.rows_of(p, share);
    own.running = own.end = p.batch.active(0, own.begin, share.rows.end);
    for (Index row = own.begin; row < own.end; ++row) own.dgates_next[row] = scratch.boundary + row * scratch.width;
    for (Index row = own.begin; row < share.rows.end; ++row) own.cut[row] = false;
    for_units(own, H, P, unit_grain<S>, [&](const BackwardRows<S>& rows) {
        cell.backward_start(rows);
        for (Index row = share.rows.begin; row < share.rows.end; ++row) {
            first_state_gradient(p, row, rows.outputs, P, rows.dh[row], rows.dh0[row], p.dinitial.h, p.drestart.h);
            for (Index part = 0; part < p.sizes.carried; part += H)  // these units of each part of c
                first_state_gradient(p, row, {part + rows.units.begin, part + rows.units.end}, p.sizes.carried,
                                     rows.dc[row], rows.dc0[row], p.dinitial.c, p.drestart.c);
        }
        if constexpr (Cell::has_options) cell.finish_rows(rows, share.rows.end);
    });
}

// Calls f(share) for the rows of each piece, or once for all rows, whose steps the team shares.
template <class S, class F>
void for_row_pieces(const BackwardProblem<S>& p, const Worker& worker, F&& f) {
    const Worker alone = worker.by_itself();
    const Worker& team = p.by_units ? alone : worker;
    team.share(
        [&](int piece) { f(p.by_units ? Share::of_units(p.batch, worker) : Share::of_rows(p.batch, worker, piece)); });
}

// One pass of a wave: a link is some steps of a chunk and the gradients of their inputs, and at the end of the chunk
// those of the parameters.
template <class Cell, class S>
void backward_link(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                   const Worker& worker, Index link) {
    const FlushDenormals flush;
    const Worker alone = worker.by_itself();
    const Share share = Share::of_units(p.batch, alone);
    const Index from = p.batch.steps() - link * p.link_steps, to = std::max<Index>(0, from - p.link_steps);
    const ChunkPlace chunk = ChunkPlace::of(p.batch, from, scratch.steps);
    if (p.interrupt->check(worker)) return;
    if constexpr (Cell::has_options)
        if (link == 0) cell.start_backward(scratch.rows_of(p, share));
    backward_steps(cell, p, scratch, share, chunk, from, to);
    if (p.interrupt->stop.load(std::memory_order_relaxed)) return;
    input_gradient(cell, p, scratch, {p.batch.tokens(from, chunk.s1), p.batch.tokens(to, chunk.s1)}, worker);
    if (to > chunk.s0) return;
    keep_boundary(p, scratch, chunk, share.rows, {0, p.sizes.dgates_width});
    cell.parameter_gradients(p, scratch, chunk.tokens, alone, 0);
    if (to > 0) return;
    finish_rows(cell, p, scratch, share);
    if constexpr (Cell::has_options) cell.finish_sums(p, scratch, alone);
}

// Backpropagation through time; every thread of the team calls it. A cell provides weights.w_ih_rows, input_depth(),
// backward_step(rows), as in the forward pass, backward_start(rows) for the gradient of the initial state, and
// parameter_gradients(p, scratch, tokens, worker, piece); with options also the functions in the `if constexpr` below
// and in backward_link.
template <class Cell, class S>
void backward_pass(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                   const Worker& worker) {
    const FlushDenormals flush;
    if constexpr (Cell::has_options)
        for_row_pieces(p, worker, [&](const Share& share) { cell.start_backward(scratch.rows_of(p, share)); });
    for (Index s1 = p.batch.steps(); s1 > 0; s1 -= std::min(s1, scratch.steps)) {
        const ChunkPlace chunk = ChunkPlace::of(p.batch, s1, scratch.steps);
        for_row_pieces(p, worker, [&](const Share& share) {
            if (p.by_units) list_chunk(p, scratch, share, chunk);
            backward_steps(cell, p, scratch, share, chunk, chunk.s1, chunk.s0);
            share.parts(p.sizes.dgates_width, 1,
                        [&](Range columns) { keep_boundary(p, scratch, chunk, share.rows, columns); });
        });
        if (p.interrupt->stop.load(std::memory_order_relaxed)) return;
        const auto inputs = [&](int piece) {
            input_gradient(cell, p, scratch, worker.part(chunk.tokens, piece, max_rows<panel_vectors>), worker);
        };
        const bool apart = Cell::has_options;  // parameter gradients need the normalised inputs of all tokens
        if (apart) worker.share(inputs);
        worker.share([&](int piece) {
            if (!apart) inputs(piece);
            cell.parameter_gradients(p, scratch, chunk.tokens, worker, piece);
        });
    }
    for_row_pieces(p, worker, [&](const Share& share) { finish_rows(cell, p, scratch, share); });
    if constexpr (Cell::has_options) cell.finish_sums(p, scratch, worker);
}

}  // namespace fastrnn

// The loop over time: direction, lengths, resets, chunks of time, rows over threads. A cell's own step is in elman.hpp,
// gru.hpp, lstm.hpp or variant_forward.hpp; backpropagation is in backward.hpp.
#pragma once

#include "kernels/matrix/product.hpp"
#include "kernels/recurrent/sequence.hpp"
#include "kernels/recurrent/work_split.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

template <class S>
struct ForwardProblem {
    RaggedBatch batch;
    Input<S> input;
    CellSizes sizes;
    State<const S> initial;  // before the first step
    State<const S> restart;  // the state after a reset: the same, except in a segment of a longer pass
    SequenceArrays<S> arrays;
    S* output = nullptr;  // [T, N, P] y times the output mask; null without a mask
    OptionArrays<S> options;
    bool training = false;
    Interrupt* interrupt = nullptr;
    bool by_units = false;  // how a team shares the steps
    Index link_steps = 0;   // of a wave; 0 if this pass is not part of one

    // The array that h' is read from after the first step.
    const S* fed_back() const { return options.targets ? options.targets : arrays.y; }
};

// What one step of a cell reads and writes: one pointer per row, for rows begin .. end-1.
template <class S>
struct StepRows {
    Index begin, end, step;
    Range units, outputs;  // the piece's part of the hidden units, and of the columns of h
    const Share* share;
    const ForwardProblem<S>* problem;
    S** gx;                   // W_ih x + b in the layout of the cell's panels; the cell may overwrite it
    const S** h_prev;         // [P]
    const S** c_prev;         // [carried], in cells with a second state
    S** h;                    // [P]
    S** c;                    // [carried]
    S** gates;                // [tape_gates, H], or null if nothing is kept for BPTT
    std::uint16_t** gates16;  // the same in 16 bits
    S** scratch;              // [sizes.scratch]
    const S** past;           // filled by cells with options themselves, as is q
    S** q;
    NarrowMemory memory;  // the thread's own
};

// Some tokens of a chunk of time, and the input part of their gates.
template <class S>
struct InputChunk {
    const S** x;  // rows of x; null if x is ids
    S** gx;
    Index* row_of;      // the token's place in the batch, 0 .. N-1
    const S** context;  // rows of the context, and their products; null unless each step has its own
    S** context_gx;
    Range tokens;
};

template <class S>
struct ForwardScratch {
    Index steps, stride;  // steps of a chunk; scalars per row of gx, padded so that rows do not share cache sets
    S* gx;                // [steps * N, stride]
    const S** x_rows;     // [workers, steps * N]
    S** gx_rows;          // [workers, steps * N]
    Index* row_of;        // [workers, steps * N]
    S* masked_x;          // [workers, steps * N, D], or null
    S* context;           // [N, stride], or [steps * N, stride] if each step has its own, or null
    const S** contexts;   // [workers, steps * N], or null; context_rows: the same of their products
    S** context_rows;
    StepRows<S> rows;     // lists [workers, N]: each thread has its own
    NarrowMemory memory;  // of each worker, one after the other

    ForwardScratch(const ForwardProblem<S>& p, int workers, Workspace& workspace) {
        const Index N = p.batch.N;
        const CellSizes& sizes = p.sizes;
        steps = p.link_steps > 0 ? p.link_steps : input_chunk_steps(p.batch, sizes.gx_width);
        stride = sizes.gx_width + 16;
        gx = workspace.take<S>(steps * N * stride);
        x_rows = workspace.take<const S*>(workers * steps * N);
        gx_rows = workspace.take<S*>(workers * steps * N);
        row_of = workspace.take<Index>(workers * steps * N);
        masked_x = p.options.input_mask ? workspace.take<S>(workers * steps * N * sizes.D) : nullptr;
        const bool each = p.options.each_context;
        context = p.options.context ? workspace.take<S>((each ? steps : 1) * N * stride) : nullptr;
        contexts = each ? workspace.take<const S*>(workers * steps * N) : nullptr;
        context_rows = each ? workspace.take<S*>(workers * steps * N) : nullptr;
        const Index width = sizes.scratch + 16;
        S* const scratch = workspace.take<S>(N * width);
        for (S*** list : {&rows.gx, &rows.scratch, &rows.h, &rows.c, &rows.gates, &rows.q})
            *list = workspace.take<S*>(workers * N);
        rows.gates16 = workspace.take<std::uint16_t*>(workers * N);
        for (const S*** list : {&rows.h_prev, &rows.c_prev, &rows.past}) *list = workspace.take<const S*>(workers * N);
        for (Index i = 0; i < workers * N; ++i) rows.scratch[i] = scratch + i % N * width;
        if (sizes.narrow) {
            memory.bytes = std::max(narrow_bytes(*sizes.narrow, sizes.D, std::min(steps * N, narrowed_at_once)),
                                    narrow_bytes(*sizes.narrow, sizes.H, std::min(N, narrowed_at_once)));
            memory.at = workspace.take<unsigned char>(workers * memory.bytes);
        }
    }

    // The lists of one thread.
    StepRows<S> rows_of(const ForwardProblem<S>& p, const Share& share) const {
        StepRows<S> own = rows;
        const Index at = share.team.rank * p.batch.N;
        for (S*** list : {&own.gx, &own.scratch, &own.h, &own.c, &own.gates, &own.q}) *list += at;
        own.gates16 += at;
        for (const S*** list : {&own.h_prev, &own.c_prev, &own.past}) *list += at;
        own.begin = share.rows.begin;
        own.share = &share;
        own.problem = &p;
        own.memory = memory.of(share.team.rank);
        return own;
    }
};

// Sets the pointers of `rows` for one step, except gx.
template <class S>
void point_step(const ForwardProblem<S>& p, Index step, StepRows<S>& rows) {
    const Index P = p.sizes.P, C = p.sizes.carried;
    const SequenceArrays<S>& a = p.arrays;
    const S* const fed_back = p.fed_back();
    rows.step = step;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(step, row), n = p.batch.order[row];
        const bool resets = p.batch.resets(step, row), starts = step == 0 || resets;
        const Index before = starts ? n : p.batch.at(step - 1, row);
        rows.h[row] = a.y + at * P;
        rows.h_prev[row] = (resets ? p.restart.h : starts ? p.initial.h : fed_back) + before * P;
        if (a.c) {
            rows.c[row] = a.c + (p.training ? at : n) * C;
            rows.c_prev[row] = (resets ? p.restart.c : starts ? p.initial.c : a.c) + (p.training ? before : n) * C;
        }
        const Index kept = at * p.sizes.tape_gates * p.sizes.H;
        rows.gates[row] = a.gates ? a.gates + kept : nullptr;
        rows.gates16[row] = a.gates16 ? a.gates16 + kept : nullptr;
    }
}

// Multiplies x of one token by the mask of its row, into the worker's own memory.
template <class S>
const S* mask_input(const ForwardProblem<S>& p, const S* x, Index row, S* masked) {
    const S* const mask = p.options.input_mask + p.batch.order[row] * p.sizes.D;
    for (Index j = 0; j < p.sizes.D; j += lanes<S>) {
        const Index left = p.sizes.D - j;
        store_first(masked + j, load_first(x + j, left) * load_first(mask + j, left), left);
    }
    return masked;
}

// Runs `cell` over one chunk of time of some rows, from step s0 on. A cell provides grain (the units that are not
// split), has_options, project(x_rows, gx_rows, tokens, units, memory), gather(id, gx row, units) and step(rows), of
// some units, or, if it `meets`, of all, and then it shares its own parts; with options also start(p, scratch, share)
// and finish_inputs(p, scratch, chunk, share).
template <class Cell, class S>
void forward_chunk(const Cell& cell, const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const Share& share,
                   Index s0) {
    const Index N = p.batch.N, D = p.sizes.D;
    const Index begin = share.rows.begin, end = share.rows.end;  // in C++17 no lambda captures a binding
    StepRows<S> rows = scratch.rows_of(p, share);
    const Index own = share.team.rank * scratch.steps * N;
    InputChunk<S> chunk{p.input.x ? scratch.x_rows + own : nullptr,
                        scratch.gx_rows + own,
                        scratch.row_of + own,
                        scratch.contexts ? scratch.contexts + own : nullptr,
                        scratch.contexts ? scratch.context_rows + own : nullptr,
                        {}};
    if constexpr (Cell::has_options)
        if (s0 == 0) cell.start(p, scratch, share);
    const Index s1 = std::min(s0 + scratch.steps, p.batch.steps()), first_token = scratch.steps * begin;
    Index token = first_token;
    for (Index s = s0; s < s1; ++s)
        for (Index row = begin; row < p.batch.active(s, begin, end); ++row, ++token) {
            const Index at = p.batch.at(s, row);
            chunk.gx[token] = scratch.gx + token * scratch.stride;
            if constexpr (Cell::has_options) {
                chunk.row_of[token] = row;
                if (chunk.context) {
                    chunk.context[token] = p.options.context + at * p.sizes.context;
                    chunk.context_gx[token] = scratch.context + token * scratch.stride;
                }
            }
            if (!p.input.x) continue;
            chunk.x[token] = p.input.x + at * D;
            if (p.options.input_mask)
                chunk.x[token] = mask_input(p, chunk.x[token], row, scratch.masked_x + (own + token) * D);
        }
    chunk.tokens = {first_token, token};
    share.parts(p.sizes.H, Cell::grain, [&](Range units) {
        if (p.input.x) return cell.project(chunk.x, chunk.gx, chunk.tokens, units, rows.memory);
        Index k = first_token;
        for (Index s = s0; s < s1; ++s)
            for (Index row = begin; row < p.batch.active(s, begin, end); ++row)
                cell.gather(p.input.ids[p.batch.at(s, row)], chunk.gx[k++], units);
    });
    if constexpr (Cell::has_options) cell.finish_inputs(p, scratch, chunk, share);
    const Index pause = steps_between_checks(N, p.sizes.H, p.sizes.gx_width);
    token = first_token;
    for (Index s = s0; s < s1; ++s) {
        rows.end = p.batch.active(s, begin, end);
        point_step(p, s, rows);
        for (Index row = begin; row < rows.end; ++row) rows.gx[row] = chunk.gx[token++];
        if constexpr (Cell::meets)
            cell.step(rows);
        else
            for_units(rows, p.sizes.H, p.sizes.P, Cell::grain, [&](const StepRows<S>& some) { cell.step(some); });
        if ((s + 1) % pause == 0 && p.interrupt->check(share.team)) return;
    }
}

// One pass of a wave: a link is a chunk.
template <class Cell, class S>
void forward_link(const Cell& cell, const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const Worker& worker,
                  Index link) {
    const FlushDenormals flush;
    if (!p.interrupt->check(worker))
        forward_chunk(cell, p, scratch, Share::of_units(p.batch, worker.by_itself()), link * scratch.steps);
}

// Runs `cell` over a sequence; every thread of the team calls it.
template <class Cell, class S>
void forward_pass(const Cell& cell, const ForwardProblem<S>& p, const ForwardScratch<S>& scratch,
                  const Worker& worker) {
    const FlushDenormals flush;
    if (p.by_units) {
        const Share share = Share::of_units(p.batch, worker);
        for (Index s0 = 0; s0 < p.batch.steps() && !p.interrupt->check(worker); s0 += scratch.steps)
            forward_chunk(cell, p, scratch, share, s0);
        return;
    }
    const Index chunks = (p.batch.steps() + scratch.steps - 1) / scratch.steps;
    worker.chains(chunks, false, [&](int piece, Index link) {
        if (!p.interrupt->check(worker))
            forward_chunk(cell, p, scratch, Share::of_rows(p.batch, worker, piece), link * scratch.steps);
    });
}

}  // namespace fastrnn

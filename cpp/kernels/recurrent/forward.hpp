// The loop over time: direction, lengths, resets, chunks of time, rows over threads. What a cell does at one step is in
// elman.hpp, gru.hpp and lstm.hpp; the way back is in bptt.hpp.
#pragma once

#include "kernels/matrix/product.hpp"
#include "kernels/recurrent/ragged_batch.hpp"
#include "kernels/recurrent/work_split.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

// What one step of a cell reads and writes, a pointer a row for rows begin .. end-1; `units` is this worker's part.
template <class S>
struct StepRows {
    Index begin, end;
    Range units;
    const Share* share;
    const Worker* worker;
    S** gx;            // W_ih x + b in the layout of the cell's panels; the cell may use it as scratch
    const S** h_prev;  // [H]
    const S** c_prev;  // [H], cells with a second state
    S** h;             // [H]
    S** c;             // [H]
    S** rh;            // [H] scratch: r * h_prev, the GRU with the reset before the product
    S** gates;         // [tape_width], or null where nothing is kept for BPTT

    // Between two products of one step, where the second needs all units of the first.
    void meet() const { share->meet(*worker); }
};

template <class S>
struct ForwardProblem {
    Batch batch;
    Input<S> input;
    Index H, gx_width, tape_width;
    const S *h0, *c0;            // [N, H]; c0 null for cells with one state
    const S *h_reset, *c_reset;  // [N, H] where a reset goes back to: h0 and c0, but in a segment of a longer pass
    S* y;                        // [T, N, H]
    S* c;      // [T, N, H] in training, [N, H] otherwise (the running state); null for cells with one state
    S* gates;  // [T, N, tape_width] in training, else null
    bool training;
    Interrupt* interrupt;
    bool by_units = false;  // how workers share a step
    Wave wave = {};         // one worker a pass
};

template <class S>
struct ForwardScratch {
    Index steps, stride;  // of a chunk; of one row of gx (padded, so that rows do not share cache sets)
    S* gx;                // [steps * N, stride]
    const S** x_rows;     // [workers, steps * N]
    S** gx_rows;          // [workers, steps * N]
    StepRows<S> rows;     // lists [workers, N]: the workers go their own ways

    ForwardScratch(const ForwardProblem<S>& p, int workers, Workspace& workspace) {
        const Index N = p.batch.N;
        steps = chunk_steps(p.batch, p.gx_width, Index(1) << 16, 256, 1024);
        if (!p.wave.alone()) steps = std::min(steps, wave_steps(p.batch));
        stride = p.gx_width + 16;
        gx = workspace.take<S>(steps * N * stride);
        x_rows = workspace.take<const S*>(workers * steps * N);
        gx_rows = workspace.take<S*>(workers * steps * N);
        S* const rh = workspace.take<S>(N * p.H);
        for (S*** list : {&rows.gx, &rows.rh, &rows.h, &rows.c, &rows.gates}) *list = workspace.take<S*>(workers * N);
        for (const S*** list : {&rows.h_prev, &rows.c_prev}) *list = workspace.take<const S*>(workers * N);
        for (Index i = 0; i < workers * N; ++i) rows.rh[i] = rh + i % N * p.H;
    }

    // The lists of one worker.
    StepRows<S> rows_of(Index N, const Share& share, const Worker& worker) const {
        StepRows<S> own = rows;
        for (S*** list : {&own.gx, &own.rh, &own.h, &own.c, &own.gates}) *list += worker.rank * N;
        for (const S*** list : {&own.h_prev, &own.c_prev}) *list += worker.rank * N;
        own.begin = share.rows.begin;
        own.units = share.units;
        own.share = &share;
        own.worker = &worker;
        return own;
    }
};

// The pointers of `rows` at one step. gx is left to the caller.
template <class S>
void point_step(const ForwardProblem<S>& p, Index step, StepRows<S>& rows) {
    const Index H = p.H;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(step, row), n = p.batch.order[row];
        const bool resets = p.batch.resets(step, row), starts = step == 0 || resets;
        const Index before = starts ? n : p.batch.at(step - 1, row);
        rows.h[row] = p.y + at * H;
        rows.h_prev[row] = (resets ? p.h_reset : starts ? p.h0 : p.y) + before * H;
        if (p.c) {
            rows.c[row] = p.c + (p.training ? at : n) * H;
            rows.c_prev[row] = (resets ? p.c_reset : starts ? p.c0 : p.c) + (p.training ? before : n) * H;
        }
        rows.gates[row] = p.training ? p.gates + at * p.tape_width : nullptr;
    }
}

// A cell offers: grain, the units that go together; project(x_rows, gx_rows, tokens, units), gather(id, gx row, units)
// and step(rows).
template <class Cell, class S>
void run_forward(const Cell& cell, const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const Worker& worker) {
    const FlushDenormals flush;
    const Share share = Share::of(p.batch, p.H, Cell::grain, p.by_units, worker);
    const auto [begin, end] = share.rows;
    StepRows<S> rows = scratch.rows_of(p.batch.N, share, worker);
    const S** const x_rows = scratch.x_rows + worker.rank * scratch.steps * p.batch.N;
    S** const gx_rows = scratch.gx_rows + worker.rank * scratch.steps * p.batch.N;
    const Index pause = steps_between_checks(p.batch.N, p.H, p.gx_width);
    const Index first_token = scratch.steps * begin;
    for (Index s0 = 0; s0 < p.batch.steps(); s0 += scratch.steps) {
        if (share.stopped(*p.interrupt, worker)) return;
        const Index s1 = std::min(s0 + scratch.steps, p.batch.steps());
        if (!p.wave.await(s1, *p.interrupt, worker)) return;
        Index token = first_token;
        for (Index s = s0; s < s1; ++s)
            for (Index row = begin; row < p.batch.active(s, begin, end); ++row, ++token) {
                const Index at = p.batch.at(s, row);
                gx_rows[token] = scratch.gx + token * scratch.stride;
                if (p.input.x)
                    x_rows[token] = p.input.x + at * p.input.D;
                else
                    cell.gather(p.input.ids[at], gx_rows[token], share.units);
            }
        if (p.input.x) cell.project(x_rows, gx_rows, {first_token, token}, share.units);
        token = first_token;
        for (Index s = s0; s < s1; ++s) {
            rows.end = p.batch.active(s, begin, end);
            point_step(p, s, rows);
            for (Index row = begin; row < rows.end; ++row) rows.gx[row] = gx_rows[token++];
            cell.step(rows);
            share.meet(worker);
            if ((s + 1) % pause == 0 && share.stopped(*p.interrupt, worker)) return;
        }
        p.wave.reach(s1);
    }
}

}  // namespace fastrnn

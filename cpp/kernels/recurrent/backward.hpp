// Backpropagation through time: the loop of sequence.hpp backwards, and what becomes of one chunk's gate gradients. A
// cell's own part is in elman.hpp, gru.hpp and lstm.hpp.
#pragma once

#include "kernels/matrix/product.hpp"
#include "kernels/recurrent/ragged_batch.hpp"
#include "kernels/recurrent/work_split.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

// Gradients of one sequence. All gradients of parameters are added to.
template <class S>
struct BackwardProblem {
    Batch batch;
    Input<S> input;
    Index H, tape_width, dgates_width;
    const S *h0, *c0;            // [N, H]
    const S *h_reset, *c_reset;  // [N, H] where a reset goes back to: h0 and c0, but in a segment of a longer pass
    const S *y, *c, *gates;      // the tape: [T, N, H], [T, N, H] or null, [T, N, tape_width] or null
    const S *dy, *dh_n, *dc_n;   // [T, N, H], [N, H], [N, H] or null
    Index dy_stride;             // from one token's dy to the next: H, or 2 H between those of two directions
    S *dx, *dh0, *dc0;           // [T, N, D] or null, [N, H], [N, H] or null
    S *dh_reset, *dc_reset;      // [N, H] or null: what resets of later segments sent back, this one's to be added
    bool resumed;                // a segment that is not the first: dh0 and dc0 leave out what resets send back
    S *dweight_ih, *dweight_hh;  // [G * H, D], [G * H, H]
    S *dbias_ih, *dbias_hh;      // [G * H] or null
    Interrupt* interrupt;
    bool by_units = false;  // how workers share a step
    Wave wave = {};         // one worker a pass
};

// One step of BPTT: the forward step's rows and what gradients they meet.
template <class S>
struct BackwardRows {
    Index begin, running, end;  // rows begin .. running-1 had a step after this one, running .. end-1 end here
    Range units;                // this worker's part
    const Share* share;
    const Worker* worker;
    const S** dgates_next;  // [dgates_width] of the step after this one
    S** dgates;             // [dgates_width]
    const S** dy;           // [H]
    const S **h, **h_prev, **c, **c_prev, **gates;
    S** dh;     // [padded H] what flows into h besides dy and the recurrent product
    S** dc;     // [padded H]
    S** rh;     // [H] r * h_prev, the gated recurrent unit with the reset before the product
    S** drh;    // [padded H] its gradient
    bool* cut;  // [N] the row starts again at the step after this one: what would flow here goes to dh0, dc0
    S** dh0;    // [padded H]
    S** dc0;    // [padded H]

    // Between two products of one step, where the second needs all units of the first.
    void meet() const { share->meet(*worker); }
};

template <class S>
struct BackwardScratch {
    Index steps, wave_steps, padded, width;
    S *dgates, *boundary;          // [steps * N, width] of a chunk, [N, width] of the step after it
    S* rh;                         // [steps * N, H]
    S *dh, *dc, *drh, *dh0, *dc0;  // [N, padded]
    const S **a, **x, **h;         // [steps * N] a chunk's rows of dgates, x and h_prev, in the order walked
    const S** rh_rows;
    S** dx;
    const std::int64_t** ids;
    S* outer;  // [workers, outer_size]
    Index outer_size;
    BackwardRows<S> rows;  // lists of what changes from step to step: [workers, N]

    BackwardScratch(const BackwardProblem<S>& p, bool needs_rh, int workers, Workspace& workspace) {
        const Index N = p.batch.N;
        steps = chunk_steps(p.batch, p.dgates_width, Index(1) << 20, 128, 512);
        wave_steps = fastrnn::wave_steps(p.batch);
        padded = round_up_to_lanes<S>(p.H) + panel_vectors * lanes<S>;
        width = p.dgates_width + 16;
        dgates = workspace.take<S>(steps * N * width);
        boundary = workspace.take<S>(N * width);
        rh = needs_rh ? workspace.take<S>(steps * N * p.H) : nullptr;
        for (S** buffer : {&dh, &dc, &drh, &dh0, &dc0}) {
            *buffer = workspace.take<S>(N * padded);
            std::fill(*buffer, *buffer + N * padded, S(0));
        }
        for (const S*** list : {&a, &x, &h, &rh_rows}) *list = workspace.take<const S*>(steps * N);
        dx = workspace.take<S*>(steps * N);
        ids = workspace.take<const std::int64_t*>(steps * N);
        outer_size = outer_workspace<S>(p.input.x ? p.input.D : 0, p.H);
        outer = workspace.take<S>(workers * outer_size);
        for (const S*** list : {&rows.dgates_next, &rows.dy, &rows.h, &rows.h_prev, &rows.c, &rows.c_prev, &rows.gates})
            *list = workspace.take<const S*>(workers * N);
        for (S*** list : {&rows.dgates, &rows.rh}) *list = workspace.take<S*>(workers * N);
        for (S*** list : {&rows.dh, &rows.dc, &rows.drh, &rows.dh0, &rows.dc0}) *list = workspace.take<S*>(N);
        rows.cut = workspace.take<bool>(workers * N);
        for (Index row = 0; row < N; ++row) {
            const Index n = p.batch.order[row];
            rows.dh[row] = dh + row * padded;
            rows.dc[row] = dc + row * padded;
            rows.drh[row] = drh + row * padded;
            rows.dh0[row] = dh0 + row * padded;
            rows.dc0[row] = dc0 + row * padded;
            const auto fill = [&](const S* from, S* to) {
                if (from) std::copy(from + n * p.H, from + (n + 1) * p.H, to);
            };
            fill(p.dh_n, rows.dh[row]);
            fill(p.dc_n, rows.dc[row]);
            fill(p.dh_reset, rows.dh0[row]);
            fill(p.dc_reset, rows.dc0[row]);
        }
    }

    // The lists of one worker.
    BackwardRows<S> rows_of(Index N, const Share& share, const Worker& worker) const {
        BackwardRows<S> own = rows;
        for (const S*** list : {&own.dgates_next, &own.dy, &own.h, &own.h_prev, &own.c, &own.c_prev, &own.gates})
            *list += worker.rank * N;
        for (S*** list : {&own.dgates, &own.rh}) *list += worker.rank * N;
        own.cut += worker.rank * N;
        own.begin = own.end = share.rows.begin;
        own.units = share.units;
        own.share = &share;
        own.worker = &worker;
        return own;
    }
};

// The pointers of one step of BPTT; `token` is the number, in the chunk, of the step's first row (of the whole batch).
// By units all workers see all rows, and only the first makes the chunk's lists.
template <class S>
void point_step(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index step, Index token,
                BackwardRows<S>& rows) {
    const Index H = p.H;
    const bool listed = !p.by_units || rows.worker->rank == 0;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(step, row), n = p.batch.order[row], k = token + row;
        const bool resets = p.batch.resets(step, row), starts = step == 0 || resets;
        const Index before = starts ? n : p.batch.at(step - 1, row);
        rows.dgates[row] = scratch.dgates + k * scratch.width;
        rows.dy[row] = p.dy + at * p.dy_stride;
        rows.h[row] = p.y + at * H;
        rows.h_prev[row] = (resets ? p.h_reset : starts ? p.h0 : p.y) + before * H;
        if (p.c) {
            rows.c[row] = p.c + at * H;
            rows.c_prev[row] = (resets ? p.c_reset : starts ? p.c0 : p.c) + before * H;
        }
        rows.gates[row] = p.gates + at * p.tape_width;
        rows.rh[row] = scratch.rh ? scratch.rh + k * H : nullptr;
        rows.cut[row] = row < rows.running && p.batch.starts(step + 1, row);
        if (!listed) continue;
        scratch.a[k] = rows.dgates[row];
        scratch.h[k] = rows.h_prev[row];
        scratch.rh_rows[k] = rows.rh[row];
        if (p.input.x)
            scratch.x[k] = p.input.x + at * p.input.D;
        else
            scratch.ids[k] = p.input.ids + at;
        if (p.dx) scratch.dx[k] = p.dx + at * p.input.D;
    }
}

// A gradient on its way back to `row`; where the row started again it goes to the initial state instead.
template <class S>
FASTRNN_INLINE Vec<S> uncut(Vec<S> d, const BackwardRows<S>& rows, Index row, Index unit, S* const* initial) {
    if (!rows.cut[row]) return d;
    store(initial[row] + unit, load(initial[row] + unit) + d);
    return set(S(0));
}

// What comes back over the recurrent connection to rows begin .. end-1: rows.dgates_next[row] + a0 (K scalars) times
// `panels` is put into rows.dh, or added to what stands there where `carry`.
template <class S>
void recurrent_product(const BackwardRows<S>& rows, Index a0, const S* panels, Index K, bool carry, Index end) {
    multiply_panels(
        Product<S>{rows.dgates_next, rows.dh, panels, nullptr, K, rows.units.end, carry, a0, 0, rows.units.begin},
        rows.begin, end);
}

// The gradient of h at one step, without dy: the recurrent product, then finish(dh, row, unit) over all rows. Rows that
// end at this step begin with rows.dh alone.
template <class S, class Finish>
void recurrent_gradient(const BackwardRows<S>& rows, Index a0, const S* panels, Index K, bool carry, Finish&& finish) {
    recurrent_product(rows, a0, panels, K, carry, rows.running);
    for (Index row = rows.begin; row < rows.end; ++row)
        for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>)
            finish(uncut(load(rows.dh[row] + unit), rows, row, unit, rows.dh0), row, unit);
}

// dx of some tokens of a chunk: their gate gradients times W_ih.
template <class Cell, class S>
void input_gradient(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Range tokens) {
    multiply_panels(Product<S>{scratch.a, scratch.dx, cell.weights.w_ih_rows, nullptr, cell.input_depth(), p.input.D},
                    tokens.begin, tokens.end);
}

// Where some of a chunk's gate gradients go: column m of them to row m of dweight_ih, which meets x, and of dweight_hh,
// which meets `h`. Either may be null.
template <class S>
struct GateGradients {
    Range columns;
    S* dweight_ih;
    const S* const* h;
    S* dweight_hh;
};

// dW_ih from ids: a scatter.
template <class S>
void scatter_gradient(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens, Range columns,
                      S* dweight_ih) {
    const Index D = p.input.D;
    constexpr Index block = 16;  // rows of dW_ih that stay in the first-level cache for one pass over the tokens
    for (Index m0 = columns.begin; m0 < columns.end; m0 += block) {
        const Index m1 = std::min(m0 + block, columns.end);
        for (Index k = 0; k < tokens; ++k) {
            if (*scratch.ids[k] < 0) continue;
            S* column = dweight_ih + *scratch.ids[k];
            for (Index m = m0; m < m1; ++m) column[m * D] += scratch.a[k][m];
        }
    }
}

template <class S>
void weight_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                      const GateGradients<S>& to, const Worker& worker) {
    OuterProduct<S> product{scratch.a, scratch.width, tokens, {}};
    if (to.dweight_ih && p.input.x) product.sides[0] = {scratch.x, to.dweight_ih, p.input.D};
    if (to.dweight_hh) product.sides[1] = {to.h, to.dweight_hh, p.H};
    accumulate_outer(product, to.columns, scratch.outer + worker.rank * scratch.outer_size);
    if (to.dweight_ih && !p.input.x) scatter_gradient(p, scratch, tokens, to.columns, to.dweight_ih);
}

// All parameters' gradients from a chunk, for a cell whose `depth` gate gradients meet x and h' alike.
template <class S>
void shared_gate_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens, Index depth,
                           const Worker& worker) {
    const Range range = worker.part(depth, outer_height);
    weight_gradients(p, scratch, tokens, {range, p.dweight_ih, scratch.h, p.dweight_hh}, worker);
    if (!p.dbias_ih) return;
    accumulate_rows(scratch.a, tokens, range.begin, range.end, p.dbias_ih);
    accumulate_rows(scratch.a, tokens, range.begin, range.end, p.dbias_hh);
}

// The gradient of a row's first state: `carried` came over the recurrent connection, `cut` was sent back by resets. In
// a segment that goes on from an earlier one the two have different ends.
template <class S>
void first_state_gradient(const BackwardProblem<S>& p, const BackwardRows<S>& rows, Index row, const S* carried,
                          const S* cut, S* first, S* restart) {
    const Index at = p.batch.order[row] * p.H;
    const bool resets = p.batch.length[row] > 0 && p.batch.resets(0, row);
    for (Index j = rows.units.begin; j < rows.units.end; ++j) {
        const S sum = cut[j] + carried[j];
        first[at + j] = !p.resumed ? sum : resets ? S(0) : carried[j];
        if (p.resumed && restart) restart[at + j] = resets ? sum : cut[j];
    }
}

// A cell offers: weights.w_ih_rows, input_depth(), backward_step(rows), backward_start(rows) for the gradient of the
// initial state, and parameter_gradients(p, scratch, tokens, worker).
template <class Cell, class S>
void run_backward(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch,
                  const Worker& worker) {
    const FlushDenormals flush;
    const Index N = p.batch.N;
    const Share share = Share::of(p.batch, p.H, unit_grain<S>, p.by_units, worker);
    const auto [begin, end] = share.rows;
    BackwardRows<S> rows = scratch.rows_of(N, share, worker);
    const Index pause = steps_between_checks(N, p.H, p.dgates_width);
    for (Index s1 = p.batch.steps(); s1 > 0; s1 -= std::min(s1, scratch.steps)) {
        const Index s0 = std::max<Index>(0, s1 - scratch.steps);
        Index token = 0, passed_on = 0;
        for (Index s = s1 - 1; s >= s0; --s) {
            if (s % pause == 0 && share.stopped(*p.interrupt, worker)) break;
            if (!p.wave.await(p.batch.steps() - s, *p.interrupt, worker)) break;
            rows.running = rows.end;
            rows.end = p.batch.active(s, begin, end);
            point_step(p, scratch, s, token, rows);
            cell.backward_step(rows);
            share.meet(worker);
            for (Index row = begin; row < rows.end; ++row) rows.dgates_next[row] = rows.dgates[row];
            token += p.batch.active(s, 0, N);
            if (!p.wave.own || ((s1 - s) % scratch.wave_steps != 0 && s > s0)) continue;
            input_gradient(cell, p, scratch, {passed_on, token});
            passed_on = token;
            p.wave.reach(p.batch.steps() - s);
        }
        const Range columns = share.by_units ? worker.part(p.dgates_width) : Range{0, p.dgates_width};
        for (Index row = begin; row < rows.end; ++row) {
            S* kept = scratch.boundary + row * scratch.width;
            std::copy(rows.dgates[row] + columns.begin, rows.dgates[row] + columns.end, kept + columns.begin);
            rows.dgates_next[row] = kept;
        }
        worker.barrier();
        if (p.interrupt->stop.load(std::memory_order_relaxed)) return;
        if (p.dx && !p.wave.own) input_gradient(cell, p, scratch, worker.part(token, max_rows<panel_vectors>));
        cell.parameter_gradients(p, scratch, token, worker);
        worker.barrier();
    }
    rows.running = rows.end;
    for (Index row = begin; row < end; ++row) rows.cut[row] = false;
    cell.backward_start(rows);
    for (Index row = begin; row < end; ++row) {
        first_state_gradient(p, rows, row, rows.dh[row], rows.dh0[row], p.dh0, p.dh_reset);
        if (p.dc0) first_state_gradient(p, rows, row, rows.dc[row], rows.dc0[row], p.dc0, p.dc_reset);
    }
}

}  // namespace fastrnn

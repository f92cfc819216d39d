// What backpropagation through time works with: the problem, a step's rows, and the products of each chunk's gate
// gradients. The loop over time is in backward_pass.hpp, each cell's own part in elman.hpp, gru.hpp, lstm.hpp,
// slstm.hpp or variant_backward.hpp.
#pragma once

#include "kernels/matrix/narrow_outer_product.hpp"
#include "kernels/matrix/outer_product.hpp"
#include "kernels/matrix/product.hpp"
#include "kernels/recurrent/sequence.hpp"
#include "kernels/recurrent/work_split.hpp"
#include "kernels/runtime/workspace.hpp"
#include "kernels/vector/denormals.hpp"

namespace fastrnn {

// Backpropagation through one sequence. Parameter gradients are added to.
template <class S>
struct BackwardProblem {
    RaggedBatch batch;
    Input<S> input;
    CellSizes sizes;
    State<const S> initial, restart;  // as in the forward pass
    SequenceArrays<const S> tape;
    OptionArrays<S> options;
    const S* dy = nullptr;  // [T, N, P]
    Index dy_stride = 0;    // from one token's dy to the next: P, or 2 P with two directions
    State<const S> dlast;
    S* dx = nullptr;  // [T, N, D] or null
    State<S> dinitial;
    State<S> drestart;     // added to: what resets of later segments sent back; or null
    bool resumed = false;  // not the first segment: dinitial excludes what resets send back
    PassSums<S> sums;      // carried from segment to segment; null in a whole pass
    // [T, N, P] and [T, N, carried] the gradients of every h and c, over all paths from them to the loss; or null. Not
    // written after a row's end.
    State<S> dstates;
    ParameterGradients<S> d;
    Interrupt* interrupt = nullptr;
    bool by_units = false;  // how a team shares the steps
    Index link_steps = 0;   // of a wave; 0 if this pass is not part of one

    const S* fed_back() const { return options.targets ? options.targets : tape.y; }
};

template <class S>
struct BackwardScratch;

// One step of BPTT: the forward step's rows and the gradients that belong to them.
template <class S>
struct BackwardRows {
    Index begin, running, end;  // rows begin .. running-1 continue after this step, running .. end-1 end with it
    Index step, token;          // the index in the chunk of the step's first token (of all workers)
    Range units, outputs;       // the piece's part of the hidden units, and of the columns of h
    const Share* share;
    const BackwardProblem<S>* problem;
    const BackwardScratch<S>* chunk;
    const S** dgates_next;  // [dgates_width] of the step after this one
    S** dgates;             // [dgates_width]
    const S** dy;           // [P]
    const S **h, **h_prev, **c, **c_prev, **gates;
    const std::uint16_t** gates16;  // [tape_gates, H] in 16 bits; then `gates` is null
    S** kept;                       // [sizes.kept] recomputed for this token
    S** dh;                         // [padded P] gradient of h besides dy and the recurrent product
    S** dc;                         // [padded carried]
    S** scratch;                    // [sizes.backward_scratch], kept from step to step
    bool* cut;  // [N] the row restarts after this step: gradients that would flow here go to dh0, dc0
    S** dh0;    // [padded P]
    S** dc0;    // [padded carried]

    NarrowMemory memory;  // the thread's own

    // One piece of each step fills the chunk's lists of its rows.
    bool fills_lists() const { return units.begin == 0; }
};

template <class S>
struct BackwardScratch {
    Index steps, padded, width;
    S *dgates, *boundary;  // [steps * N, width] of a chunk, [N, width] of the step after it
    // A chunk's rows, last step first, each [steps * N]: dgates, x, h', and for cells with options the candidate's h',
    // an earlier output (skip connection), c' and q.
    const S **a, **x, **h, **candidate, **past, **inner, **q;
    const S** context;  // and the context, if each step has its own; else null
    S **dx, **dcontexts;
    const std::int64_t** ids;
    Index* row_of;  // [steps * N] the token's place in the batch
    S* outer;       // [workers, outer_size]
    Index outer_size;
    S* inputs;  // [steps * N, gx_width + 16] if inputs are normalised, else null; input_rows: one pointer per token
    S** input_rows;
    S *ring, *dpast, *dcontext;  // [N, skip, P] twice, [N, gates * H]; null if there is none
    S* dleak;                    // [H], summed over the pass
    BackwardRows<S> rows;        // lists [workers, N]
    NarrowMemory memory;         // of each worker, one after the other

    BackwardScratch(const BackwardProblem<S>& p, int workers, Workspace& workspace) {
        const CellSizes& sizes = p.sizes;
        const Index N = p.batch.N, widest = std::max({sizes.H, sizes.P, sizes.carried});
        steps = chunk_steps(p.batch, sizes.dgates_width, Index(1) << 20, 128, 512);
        if (p.link_steps > 0) steps = std::max<Index>(1, steps / p.link_steps) * p.link_steps;
        padded = round_up_to_lanes<S>(widest) + panel_vectors * lanes<S>;
        width = sizes.dgates_width + 16;
        dgates = workspace.take<S>(steps * N * width);
        boundary = workspace.take<S>(N * width);
        for (const S*** list : {&a, &x, &h, &candidate, &past, &inner, &q}) *list = workspace.take<const S*>(steps * N);
        dx = workspace.take<S*>(steps * N);
        context = p.options.each_context ? workspace.take<const S*>(steps * N) : nullptr;
        dcontexts = p.options.each_context && p.d.context ? workspace.take<S*>(steps * N) : nullptr;
        ids = workspace.take<const std::int64_t*>(steps * N);
        row_of = workspace.take<Index>(steps * N);
        outer_size =
            outer_memory<S>(sizes.narrow, p.input.x ? sizes.D : 0, std::max({sizes.H, sizes.P, sizes.context}));
        outer = workspace.take<S>(workers * outer_size);
        inputs = sizes.normalises_inputs ? workspace.take<S>(steps * N * (sizes.gx_width + 16)) : nullptr;
        input_rows = workspace.take<S*>(sizes.normalises_inputs ? steps * N : 0);
        dleak = p.sums.leak ? p.sums.leak : zeros(sizes.H, workspace);
        ring = sizes.skip ? zeros(N * sizes.skip * sizes.P, workspace) : nullptr;
        dpast = sizes.skip ? zeros(N * sizes.skip * sizes.P, workspace) : nullptr;
        dcontext = context          ? nullptr
                   : p.sums.context ? p.sums.context
                   : sizes.context  ? zeros(N * sizes.gates * sizes.H, workspace)
                                    : nullptr;
        if (sizes.narrow) {
            memory.bytes = narrow_bytes(*sizes.narrow, sizes.dgates_width, std::min(steps * N, narrowed_at_once));
            memory.at = workspace.take<unsigned char>(workers * memory.bytes);
        }
        make_rows(p, workers, workspace);
    }

    // The lists of one thread.
    BackwardRows<S> rows_of(const BackwardProblem<S>& p, const Share& share) const {
        BackwardRows<S> own = rows;
        const Index at = share.team.rank * p.batch.N;
        for (const S*** list : {&own.dgates_next, &own.dy, &own.h, &own.h_prev, &own.c, &own.c_prev, &own.gates})
            *list += at;
        for (S*** list : {&own.dgates, &own.kept}) *list += at;
        own.gates16 += at;
        own.cut += at;
        own.begin = own.running = own.end = share.rows.begin;
        own.share = &share;
        own.problem = &p;
        own.chunk = this;
        own.memory = memory.of(share.team.rank);
        return own;
    }

    S* kept_of(Index token) const { return kept_ + token * kept_width_; }

   private:
    static S* zeros(Index count, Workspace& workspace) {
        S* const values = workspace.take<S>(count);
        std::fill(values, values + count, S(0));
        return values;
    }

    void make_rows(const BackwardProblem<S>& p, int workers, Workspace& workspace) {
        const CellSizes& sizes = p.sizes;
        const Index N = p.batch.N, P = sizes.P, C = sizes.carried, scratch_width = sizes.backward_scratch + 16;
        kept_width_ = sizes.kept + 16;
        kept_ = sizes.kept ? workspace.take<S>(steps * N * kept_width_) : nullptr;
        for (const S*** list : {&rows.dgates_next, &rows.dy, &rows.h, &rows.h_prev, &rows.c, &rows.c_prev, &rows.gates})
            *list = workspace.take<const S*>(workers * N);
        rows.gates16 = workspace.take<const std::uint16_t*>(workers * N);
        for (S*** list : {&rows.dgates, &rows.kept}) *list = workspace.take<S*>(workers * N);
        for (S*** list : {&rows.dh, &rows.dc, &rows.scratch, &rows.dh0, &rows.dc0}) *list = workspace.take<S*>(N);
        rows.cut = workspace.take<bool>(workers * N);
        S* const sums = zeros(4 * N * padded, workspace);
        S* const scratch = zeros(N * scratch_width, workspace);
        for (Index row = 0; row < N; ++row) {
            const Index n = p.batch.order[row];
            S* const own = sums + row * padded;
            rows.dh[row] = own;
            rows.dc[row] = own + N * padded;
            rows.dh0[row] = own + 2 * N * padded;
            rows.dc0[row] = own + 3 * N * padded;
            rows.scratch[row] = scratch + row * scratch_width;
            const auto fill = [&](const S* from, Index size, S* to) {
                if (from) std::copy(from + n * size, from + (n + 1) * size, to);
            };
            fill(p.dlast.h, P, rows.dh[row]);
            fill(p.dlast.c, C, rows.dc[row]);
            fill(p.drestart.h, P, rows.dh0[row]);
            fill(p.drestart.c, C, rows.dc0[row]);
        }
    }

    S* kept_ = nullptr;
    Index kept_width_ = 0;
};

// Sets the pointers of one step of BPTT, in lists of the thread's own.
template <class S>
void point_step(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index step, Index token,
                BackwardRows<S>& rows) {
    const Index P = p.sizes.P, C = p.sizes.carried;
    const S* const fed_back = p.fed_back();
    rows.step = step;
    rows.token = token;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(step, row), n = p.batch.order[row], k = token + row;
        const bool resets = p.batch.resets(step, row), starts = step == 0 || resets;
        const Index before = starts ? n : p.batch.at(step - 1, row);
        rows.dgates[row] = scratch.dgates + k * scratch.width;
        rows.dy[row] = p.dy + at * p.dy_stride;
        rows.h[row] = p.tape.y + at * P;
        rows.h_prev[row] = (resets ? p.restart.h : starts ? p.initial.h : fed_back) + before * P;
        if (p.tape.c) {
            rows.c[row] = p.tape.c + at * C;
            rows.c_prev[row] = (resets ? p.restart.c : starts ? p.initial.c : p.tape.c) + before * C;
        }
        const Index gates = at * p.sizes.tape_gates * p.sizes.H;
        rows.gates[row] = p.tape.gates ? p.tape.gates + gates : nullptr;
        rows.gates16[row] = p.tape.gates16 ? p.tape.gates16 + gates : nullptr;
        rows.kept[row] = p.sizes.kept ? scratch.kept_of(k) : nullptr;
        rows.cut[row] = row < rows.running && p.batch.starts(step + 1, row);
    }
}

// Fills the chunk's lists for the tokens of one step.
template <class S>
void list_tokens(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, const BackwardRows<S>& rows) {
    const Index D = p.sizes.D;
    for (Index row = rows.begin; row < rows.end; ++row) {
        const Index at = p.batch.at(rows.step, row), k = rows.token + row;
        scratch.a[k] = rows.dgates[row];
        scratch.h[k] = rows.h_prev[row];
        scratch.row_of[k] = row;
        if (p.input.x)
            scratch.x[k] = p.input.x + at * D;
        else
            scratch.ids[k] = p.input.ids + at;
        if (p.dx) scratch.dx[k] = p.dx + at * D;
        if (scratch.context) scratch.context[k] = p.options.context + at * p.sizes.context;
        if (scratch.dcontexts) scratch.dcontexts[k] = p.d.context + at * p.sizes.context;
    }
}

// Returns the gradient `d` that flows back to `row`; if the row restarts, adds it to `initial` and returns zero.
template <class S>
FASTRNN_INLINE Vec<S> uncut(Vec<S> d, const BackwardRows<S>& rows, Index row, Index unit, S* const* initial) {
    if (!rows.cut[row]) return d;
    store(initial[row] + unit, load(initial[row] + unit) + d);
    return set(S(0));
}

// Keeps a vector of the gradient of this step's h or c (`array`, `width` wide) for the caller, who may not want it.
template <class S>
FASTRNN_INLINE void keep_gradient(S* array, Index width, const BackwardRows<S>& rows, Index row, Index unit, Vec<S> d,
                                  Index left) {
    if (array) store_first(array + rows.problem->batch.at(rows.step, row) * width + unit, d, left);
}

// The gradient over the recurrent connection for rows begin .. end-1: stores rows.dgates_next[row] + a0 (K scalars)
// times `panels` in rows.dh, or adds it if `carry`.
template <class S>
void recurrent_product(const BackwardRows<S>& rows, Index a0, const PanelsOf<S>& panels, Index K, bool carry,
                       Index end) {
    Product<S> product{rows.dgates_next, rows.dh, panels, nullptr, K, rows.units.end};
    product.accumulate = carry;
    product.a0 = a0;
    product.first = rows.units.begin;
    product.memory = rows.memory;
    multiply_panels(product, rows.begin, end);
}

// The gradient of h at one step: the recurrent product and dy, then epilogue(dh, row, unit) over all rows. Rows that
// end at this step have rows.dh and dy alone.
template <class S, class Epilogue>
void recurrent_gradient(const BackwardRows<S>& rows, Index a0, const PanelsOf<S>& panels, Index K, bool carry,
                        Epilogue&& epilogue) {
    recurrent_product(rows, a0, panels, K, carry, rows.running);
    for (Index row = rows.begin; row < rows.end; ++row)
        for (Index unit = rows.units.begin; unit < rows.units.end; unit += lanes<S>) {
            const Index P = rows.problem->sizes.P, left = P - unit;
            const Vec<S> dh =
                uncut(load(rows.dh[row] + unit), rows, row, unit, rows.dh0) + load_first(rows.dy[row] + unit, left);
            keep_gradient(rows.problem->dstates.h, P, rows, row, unit, dh, left);
            epilogue(dh, row, unit);
        }
}

// dx of some tokens of a chunk: gate gradients times W_ih.
template <class Cell, class S>
void input_gradient(const Cell& cell, const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Range tokens,
                    const Worker& worker) {
    if constexpr (Cell::has_options) cell.normalise_inputs_backward(p, scratch, tokens);
    if (!p.dx) return;
    Product<S> product{scratch.a, scratch.dx, cell.weights.w_ih_rows, nullptr, cell.input_depth(), p.input.D};
    product.memory = scratch.memory.of(worker.rank);
    if constexpr (Cell::has_options) product.a0 = cell.input_column();
    multiply_panels(product, tokens.begin, tokens.end);
    if constexpr (Cell::has_options) cell.mask_input_gradient(p, scratch, tokens);
}

// The weights that some columns of a chunk's gate gradients belong to: column m is added to row m - shift. Either
// weight may be null.
template <class S>
struct GateGradients {
    Range columns;
    Index shift;
    S* dweight_ih;      // multiplied with x
    const S* const* h;  // [tokens] rows of `width` scalars, multiplied into dweight
    S* dweight;
    Index width;
};

// dW_ih from ids: a scatter.
template <class S>
void scatter_gradient(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                      const GateGradients<S>& to) {
    const Index D = p.input.D;
    constexpr Index block = 16;  // rows of dW_ih that stay in the L1 cache during one pass over the tokens
    for (Index m0 = to.columns.begin; m0 < to.columns.end; m0 += block) {
        const Index m1 = std::min(m0 + block, to.columns.end);
        for (Index k = 0; k < tokens; ++k) {
            if (*scratch.ids[k] < 0) continue;
            S* const column = to.dweight_ih + *scratch.ids[k];
            for (Index m = m0; m < m1; ++m) column[(m - to.shift) * D] += scratch.a[k][m];
        }
    }
}

template <class S>
void weight_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                      const GateGradients<S>& to, const Worker& worker) {
    OuterProduct<S> product{scratch.a, scratch.width, tokens, {}};
    if (to.dweight_ih && p.input.x) product.sides[0] = {scratch.x, to.dweight_ih, p.input.D, to.shift};
    if (to.dweight) product.sides[1] = {to.h, to.dweight, to.width, to.shift};
    accumulate_product(p.sizes.narrow, product, to.columns, scratch.outer + worker.rank * scratch.outer_size);
    if (to.dweight_ih && !p.input.x) scatter_gradient(p, scratch, tokens, to);
}

// Adds column m of the gate gradients, summed over a chunk's tokens, to to[m - shift].
template <class S>
void bias_gradients(const BackwardScratch<S>& scratch, Index tokens, Range columns, Index shift, S* to) {
    accumulate_rows(scratch.a, tokens, columns.begin, columns.end, to + (columns.begin - shift));
}

// All parameter gradients of a chunk, for a cell whose `depth` gate gradients multiply both x and h'.
template <class S>
void shared_gate_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens, Index depth,
                           const Worker& worker, int piece) {
    const Range range = worker.part(depth, piece, outer_height);
    weight_gradients(p, scratch, tokens, {range, 0, p.d.weight_ih, scratch.h, p.d.weight_hh, p.sizes.H}, worker);
    if (!p.d.bias_ih) return;
    bias_gradients(scratch, tokens, range, 0, p.d.bias_ih);
    bias_gradients(scratch, tokens, range, 0, p.d.bias_hh);
}

}  // namespace fastrnn

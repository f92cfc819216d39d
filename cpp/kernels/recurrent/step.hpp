// One step of one sequence, as a stream runs it: input part, recurrent part and pointwise part of some units at a time,
// with all of their gates in registers.
//
// Every sum is the same chain as in forward.hpp: the bias, then x in the order of its columns, then h'. So a sequence
// has the same bits in one call and step by step. A step of one row waits for its own results most of the time; so
// several vectors of units run side by side, sums do not go through memory between the parts, and activations leave
// out the bounds that their arguments do not need.
#pragma once

#include "kernels/recurrent/elman.hpp"
#include "kernels/recurrent/gru.hpp"
#include "kernels/recurrent/lstm.hpp"

namespace fastrnn {

// What a step reads and writes. It allocates nothing and throws nothing. h and scratch must not overlap what is read;
// c may be c_prev.
template <class S>
struct SingleStep {
    const S* x;  // [D], or null: then x is row `id` of the identity, or zeros if it is -1
    Index id;
    const S* h_prev;  // [H]
    S* h;             // [H]
    const S* c_prev;  // [H], of an LSTM
    S* c;             // [H]
    S* scratch;       // [step_scratch(cell)]
};

// Vectors of units side by side, each with `Gates` accumulators.
template <int Gates>
inline constexpr int side_by_side = (vector_registers >= 32 ? 12 : 8) / Gates;

// Calls f(constant number of vectors, first unit) for all units of gate panels.
template <class S, int Gates, class F>
FASTRNN_INLINE void for_unit_groups(Index H, F&& f) {
    for_row_blocks<side_by_side<Gates>>(0, (H + lanes<S> - 1) / lanes<S>,
                                        [&](auto vectors, Index first) { f(vectors, first * lanes<S>); });
}

// Adds W x; strips of `Width` vectors begin `stride` scalars apart.
template <int Width, class S, int Cols>
FASTRNN_INLINE void add_input(Tile<S, 1, Cols>& tile, const SingleStep<S>& s, const S* strip, Index D, Index stride) {
    if (s.x) return tile.template multiply<Width>(RowPointers<S, 1>(&s.x), strip, D, stride);
    if (s.id < 0) return;
    FASTRNN_UNROLL
    for (int c = 0; c < Cols; ++c)
        tile.sum[0][c] = tile.sum[0][c] + load(strip + c / Width * stride + (s.id * Width + c % Width) * lanes<S>);
}

// The pointwise part of one vector of units, from its sums. Within: without bounds of the activations' arguments, and
// if they need some, nothing is written and the answer is false.
template <bool Within, class S>
FASTRNN_INLINE bool finish_units(const Lstm<S>& cell, const Vec<S>* sums, const SingleStep<S>& s, Index unit) {
    const Index width = cell.weights.H - unit;
    const Vec<S> i = sums[0], f = sums[1], g = sums[2], o = sums[3];
    const Vec<S> new_part = sigmoid<Within>(i) * tanh<Within>(g);
    const Vec<S> c = fma(sigmoid<Within>(f), load_first(s.c_prev + unit, width), new_part);
    const Vec<S> open = sigmoid<Within>(o);
    const Vec<S> h = open * tanh<Within>(c);
    if (Within && !all_at_most(magnitude(i) + magnitude(f) + (magnitude(g) + magnitude(o)) + magnitude(c), no_bound<S>))
        return false;
    store_first(s.c + unit, c, width);
    store_first(s.h + unit, h, width);
    return true;
}

// sums: r, z, W_hn h' + b_hn, and the input part of n.
template <bool Within, class S>
FASTRNN_INLINE bool finish_units(const GruResetAfter<S>& cell, const Vec<S>* sums, const SingleStep<S>& s, Index unit) {
    const Index width = cell.weights.H - unit;
    const Vec<S> r = sums[0], z = sums[1];
    const Vec<S> candidate = fma(sigmoid<Within>(r), sums[2], sums[3]), n = tanh<Within>(candidate);
    const Vec<S> h_prev = load_first(s.h_prev + unit, width);
    const Vec<S> h = fma(sigmoid<Within>(z), h_prev - n, n);
    if (Within && !all_at_most(magnitude(r) + magnitude(z) + magnitude(candidate), no_bound<S>)) return false;
    store_first(s.h + unit, h, width);
    return true;
}

template <class Cell, class S>
EIGEN_DONT_INLINE void finish_bounded(const Cell& cell, const S* sums, const SingleStep<S>& s, Index unit) {
    const Vec<S> loaded[4] = {load(sums), load(sums + lanes<S>), load(sums + 2 * lanes<S>), load(sums + 3 * lanes<S>)};
    finish_units<false>(cell, loaded, s, unit);
}
template <class Cell, class S>
EIGEN_DONT_INLINE void finish_from_memory(const Cell& cell, const S* sums, const SingleStep<S>& s, Index unit) {
    const Vec<S> loaded[4] = {load(sums), load(sums + lanes<S>), load(sums + 2 * lanes<S>), load(sums + 3 * lanes<S>)};
    if (!finish_units<true>(cell, loaded, s, unit)) finish_bounded(cell, sums, s, unit);
}

// The pointwise part of some vectors of units, with four sums each. Of a single vector, which has nothing else to wait
// for, the sums stay in registers.
template <class Cell, class S, int Cols>
FASTRNN_INLINE void finish(const Cell& cell, const Tile<S, 1, Cols>& tile, const SingleStep<S>& s, Index unit) {
    if constexpr (Cols == 4)
        if (finish_units<true>(cell, tile.sum[0], s, unit)) return;
    alignas(64) S sums[Cols * lanes<S>];
    tile.store_block(sums);
    for (Index v = 0; v < Cols / 4; ++v)
        if (Cols == 4)
            finish_bounded(cell, sums, s, unit);
        else
            finish_from_memory(cell, sums + v * 4 * lanes<S>, s, unit + v * lanes<S>);
}

template <class S>
void single_step(const Lstm<S>& cell, const SingleStep<S>& s) {
    constexpr int gates = 4, width = strip_vectors<gates>;
    constexpr Index strip = width * lanes<S>;
    const LstmWeights<S>& w = cell.weights;
    for_unit_groups<S, gates>(w.H, [&](auto vectors, Index unit) {
        Tile<S, 1, vectors * gates> tile;
        tile.start(w.bias + unit * gates);
        add_input<width>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
        tile.template multiply<width>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
        finish(cell, tile, s, unit);
    });
}

// The input parts of n go to their place among the sums; in the tile, its recurrent parts begin.
template <int Vectors, class S>
FASTRNN_INLINE void exchange_candidates(Tile<S, 1, Vectors * 3>& tile, Tile<S, 1, Vectors * 4>& sums, const S* bias_n) {
    FASTRNN_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        sums.sum[0][v * 4 + 3] = tile.sum[0][v * 3 + 2];
        tile.sum[0][v * 3 + 2] = load(bias_n + v * lanes<S>);
    }
}
template <int Vectors, class S>
FASTRNN_INLINE void put_recurrent_sums(const Tile<S, 1, Vectors * 3>& tile, Tile<S, 1, Vectors * 4>& sums) {
    FASTRNN_UNROLL
    for (int c = 0; c < Vectors * 3; ++c) sums.sum[0][c / 3 * 4 + c % 3] = tile.sum[0][c];
}

template <class S>
void single_step(const GruResetAfter<S>& cell, const SingleStep<S>& s) {
    constexpr int gates = 3;
    constexpr Index strip = gates * lanes<S>;
    const GruWeights<S>& w = cell.weights;
    for_unit_groups<S, gates>(w.H, [&](auto vectors, Index unit) {
        Tile<S, 1, vectors * gates> tile;
        Tile<S, 1, vectors * 4> sums;
        tile.start(w.bias + unit * gates);
        add_input<gates>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
        exchange_candidates<vectors>(tile, sums, w.bias_n + unit);
        tile.template multiply<gates>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
        put_recurrent_sums<vectors>(tile, sums);
        finish(cell, sums, s, unit);
    });
}

// sums = bias + W_ih x + W_hh v of plain panels, padded to whole vectors.
template <class S>
EIGEN_DONT_INLINE void plain_sums(const SingleStep<S>& s, const S* bias, const S* w_ih, Index D, const S* w_hh,
                                  const S* v, Index H, S* sums) {
    const auto panels = [&](auto width, auto side, Index column) {
        constexpr Index strip = width * lanes<S>;
        Tile<S, 1, width * side> tile;
        tile.start(bias + column);
        add_input<width>(tile, s, w_ih + column * D, D, strip * D);
        tile.template multiply<width>(RowPointers<S, 1>(&v), w_hh + column * H, H, strip * H);
        tile.store_block(sums + column);
    };
    constexpr Index wide = panel_vectors * lanes<S>;
    const Index vectors = (H + lanes<S> - 1) / lanes<S>, whole = vectors / panel_vectors;
    for_row_blocks<side_by_side<panel_vectors>>(0, whole, [&](auto side, Index first) {
        panels(std::integral_constant<int, panel_vectors>{}, side, first * wide);
    });
    if (vectors % panel_vectors)
        with_constant<panel_vectors - 1>(vectors % panel_vectors, [&](auto width) {
            panels(width, std::integral_constant<int, 1>{}, whole * wide);
        });
}

template <class S>
void single_step(const Elman<S>& cell, const SingleStep<S>& s) {
    const ElmanWeights<S>& w = cell.weights;
    plain_sums(s, w.bias, w.w_ih, w.D, w.w_hh, s.h_prev, w.H, s.scratch);
    for (Index unit = 0; unit < w.H; unit += lanes<S>) {
        const Vec<S> sum = load(s.scratch + unit);
        store_first(s.h + unit, cell.rectified ? relu(sum) : tanh(sum), w.H - unit);
    }
}

// Scratch: z, r * h' and the candidate's sums.
template <class S>
void single_step(const GruResetBefore<S>& cell, const SingleStep<S>& s) {
    constexpr int gates = 2;
    constexpr Index strip = gates * lanes<S>;
    const GruWeights<S>& w = cell.weights;
    S *const z = s.scratch, *const rh = z + round_up_to_lanes<S>(w.H), *const n = rh + round_up_to_lanes<S>(w.H);
    for_row_blocks<2>(0, (w.H + lanes<S> - 1) / lanes<S>, [&](auto vectors, Index first) {
        const Index unit = first * lanes<S>;
        Tile<S, 1, vectors * gates> tile;
        tile.start(w.bias + unit * gates);
        add_input<gates>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
        tile.template multiply<gates>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
        for (Index v = 0; v < vectors; ++v) {
            const Index at = unit + v * lanes<S>;
            store(rh + at, sigmoid(tile.sum[0][v * gates]) * load_first(s.h_prev + at, w.H - at));
            store(z + at, sigmoid(tile.sum[0][v * gates + 1]));
        }
    });
    plain_sums(s, w.bias_n, w.w_in, w.D, w.w_hn, rh, w.H, n);
    for (Index unit = 0; unit < w.H; unit += lanes<S>) {
        const Vec<S> candidate = tanh(load(n + unit)), h_prev = load_first(s.h_prev + unit, w.H - unit);
        store_first(s.h + unit, fma(load(z + unit), h_prev - candidate, candidate), w.H - unit);
    }
}

// Scalars of scratch that a step needs; less than none: the cell has no step of this kind.
template <class Cell>
Index step_scratch(const Cell&) {
    return -1;
}
template <class S>
Index step_scratch(const Lstm<S>&) {
    return 0;
}
template <class S>
Index step_scratch(const GruResetAfter<S>&) {
    return 0;
}
template <class S>
Index step_scratch(const Elman<S>& cell) {
    return round_up_to_lanes<S>(cell.weights.H);
}
template <class S>
Index step_scratch(const GruResetBefore<S>& cell) {
    return 3 * round_up_to_lanes<S>(cell.weights.H);
}
template <class Cell, class S>
void single_step(const Cell&, const SingleStep<S>&) {}

}  // namespace fastrnn

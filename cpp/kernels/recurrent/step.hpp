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
    const S* h_prev;          // [H]
    S* h;                     // [H]
    const S* c_prev;          // [H], of an LSTM
    S* c;                     // [H]
    S* scratch;               // [step_scratch(cell)]
    bool last_first = false;  // the order of the units, which changes no bit; every other step should have it
};

// Vectors of units side by side, each with `Gates` accumulators. Doubles have one: less code for what is used less.
template <class S, int Gates>
inline constexpr int side_by_side = std::max((std::is_same_v<S, double> ? 4
                                              : vector_registers >= 32  ? 12
                                                                        : 8) /
                                                 Gates,
                                             1);

// Calls f(constant number of vectors, first unit) for all units of gate panels in almost equal groups, and after each
// finish(number of vectors, first unit) if that returned false. If weights do not fit the first cache, every other step
// finds those of the last groups there if it begins with them.
template <class S, int Gates, class F, class Finish>
FASTRNN_INLINE void for_unit_groups(Index H, bool last_first, F&& f, Finish&& finish) {
    constexpr int most = side_by_side<S, Gates>;
    const Index vectors = (H + lanes<S> - 1) / lanes<S>, groups = (vectors + most - 1) / most;
    for (Index i = 0; i < groups; ++i) {
        const Index g = last_first ? groups - 1 - i : i, begin = vectors * g / groups;
        const Index count = vectors * (g + 1) / groups - begin;
        bool done = false;
        with_constant<most>(count, [&](auto constant) { done = f(constant, begin * lanes<S>); });
        if (!done) finish(count, begin * lanes<S>);
    }
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

// The pointwise part of one vector of units, from its four sums, in two halves: what waits for the sums alone, and the
// rest. Within: without bounds of the activations' arguments; if they need some, `end` writes nothing and returns
// false.
template <class S>
struct HalfDone {
    Vec<S> part[3], magnitudes;
};

template <bool Within, class S>
FASTRNN_INLINE HalfDone<S> begin(const Lstm<S>&, const Vec<S>* sums) {
    const Vec<S> i = sums[0], f = sums[1], g = sums[2], o = sums[3];
    const Vec<S> new_part = sigmoid<Within>(i) * tanh<Within>(g);
    return {{new_part, sigmoid<Within>(f), sigmoid<Within>(o)},
            magnitude(i) + magnitude(f) + (magnitude(g) + magnitude(o))};
}
template <bool Within, class S>
FASTRNN_INLINE bool end(const Lstm<S>& cell, const HalfDone<S>& half, const SingleStep<S>& s, Index unit) {
    const Index width = cell.weights.H - unit;
    const Vec<S> c = fma(half.part[1], load_first(s.c_prev + unit, width), half.part[0]);
    const Vec<S> h = half.part[2] * tanh<Within>(c);
    if (Within && !all_at_most(half.magnitudes + magnitude(c), no_bound<S>)) return false;
    store_first(s.c + unit, c, width);
    store_first(s.h + unit, h, width);
    return true;
}

// sums: r, z, W_hn h' + b_hn, and the input part of n.
template <bool Within, class S>
FASTRNN_INLINE HalfDone<S> begin(const GruResetAfter<S>&, const Vec<S>* sums) {
    const Vec<S> candidate = fma(sigmoid<Within>(sums[0]), sums[2], sums[3]);
    return {{candidate, sigmoid<Within>(sums[1]), candidate},
            magnitude(sums[0]) + magnitude(sums[1]) + magnitude(candidate)};
}
template <bool Within, class S>
FASTRNN_INLINE bool end(const GruResetAfter<S>& cell, const HalfDone<S>& half, const SingleStep<S>& s, Index unit) {
    const Index width = cell.weights.H - unit;
    const Vec<S> n = tanh<Within>(half.part[0]), h_prev = load_first(s.h_prev + unit, width);
    const Vec<S> h = fma(half.part[1], h_prev - n, n);
    if (Within && !all_at_most(half.magnitudes, no_bound<S>)) return false;
    store_first(s.h + unit, h, width);
    return true;
}

template <class S>
FASTRNN_INLINE void load_sums(const S* from, Vec<S>* sums) {
    FASTRNN_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = load(from + i * lanes<S>);
}

template <class Cell, class S>
EIGEN_DONT_INLINE void finish_bounded(const Cell& cell, const S* from, const SingleStep<S>& s, Index unit) {
    Vec<S> sums[4];
    load_sums(from, sums);
    end<false>(cell, begin<false>(cell, sums), s, unit);
}

// Of several vectors: the first halves of all, which do not wait for each other, then the second ones.
template <class Cell, class S>
EIGEN_DONT_INLINE void finish_several(const Cell& cell, const S* from, Index count, const SingleStep<S>& s,
                                      Index unit) {
    constexpr Index wide = 4 * lanes<S>;
    if constexpr (std::is_same_v<S, double>) return finish_bounded(cell, from, s, unit);
    HalfDone<S> halves[4];
    for (Index v = 0; v < count; ++v) {
        Vec<S> sums[4];
        load_sums(from + v * wide, sums);
        halves[v] = begin<true>(cell, sums);
    }
    for (Index v = 0; v < count; ++v)
        if (!end<true>(cell, halves[v], s, unit + v * lanes<S>))
            finish_bounded(cell, from + v * wide, s, unit + v * lanes<S>);
}

// The sums of a single vector, which has nothing else to wait for, stay in registers; others go to memory, and it
// returns false.
template <class Cell, class S, int Cols>
FASTRNN_INLINE bool finish_one(const Cell& cell, const Tile<S, 1, Cols>& tile, S* sums, const SingleStep<S>& s,
                               Index unit) {
    if constexpr (std::is_same_v<S, float> && Cols == 4)
        if (end<true>(cell, begin<true>(cell, tile.sum[0]), s, unit)) return true;
    tile.store_block(sums);
    return false;
}

template <class S>
void single_step(const Lstm<S>& cell, const SingleStep<S>& s) {
    constexpr int gates = 4, width = strip_vectors<gates>;
    constexpr Index strip = width * lanes<S>;
    const LstmWeights<S>& w = cell.weights;
    alignas(64) S sums[side_by_side<S, gates> * 4 * lanes<S>];
    for_unit_groups<S, gates>(
        w.H, s.last_first,
        [&](auto vectors, Index unit) {
            Tile<S, 1, vectors * gates> tile;
            tile.start(w.bias + unit * gates);
            add_input<width>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
            tile.template multiply<width>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
            return finish_one(cell, tile, sums, s, unit);
        },
        [&](Index count, Index unit) { finish_several(cell, sums, count, s, unit); });
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
    alignas(64) S sums[side_by_side<S, gates> * 4 * lanes<S>];
    for_unit_groups<S, gates>(
        w.H, s.last_first,
        [&](auto vectors, Index unit) {
            Tile<S, 1, vectors * gates> tile;
            Tile<S, 1, vectors * 4> all;
            tile.start(w.bias + unit * gates);
            add_input<gates>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
            exchange_candidates<vectors>(tile, all, w.bias_n + unit);
            tile.template multiply<gates>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
            put_recurrent_sums<vectors>(tile, all);
            return finish_one(cell, all, sums, s, unit);
        },
        [&](Index count, Index unit) { finish_several(cell, sums, count, s, unit); });
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
    for_row_blocks<side_by_side<S, panel_vectors>>(0, whole, [&](auto side, Index first) {
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
    plain_sums(s, w.bias, w.w_ih.scalars, w.D, w.w_hh.scalars, s.h_prev, w.H, s.scratch);
    for (Index unit = 0; unit < w.H; unit += lanes<S>) {
        const Vec<S> sum = load(s.scratch + unit);
        store_first(s.h + unit, cell.rectified ? relu(sum) : tanh(sum), w.H - unit);
    }
}

// Scratch: the sums of r and z of each vector of units, then z in the place of both; r * h'; the candidate's sums.
template <class S>
void single_step(const GruResetBefore<S>& cell, const SingleStep<S>& s) {
    constexpr int gates = 2;
    constexpr Index strip = gates * lanes<S>;
    const GruWeights<S>& w = cell.weights;
    const Index padded = round_up_to_lanes<S>(w.H);
    S *const both = s.scratch, *const rh = both + 2 * padded, *const n = rh + padded;
    for_unit_groups<S, 2 * gates>(
        w.H, s.last_first,
        [&](auto vectors, Index unit) {
            Tile<S, 1, vectors * gates> tile;
            tile.start(w.bias + unit * gates);
            add_input<gates>(tile, s, w.w_ih + unit * gates * w.D, w.D, strip * w.D);
            tile.template multiply<gates>(RowPointers<S, 1>(&s.h_prev), w.w_hh + unit * gates * w.H, w.H, strip * w.H);
            tile.store_block(both + unit * gates);
            return true;
        },
        [](Index, Index) {});
    for (Index unit = 0; unit < w.H; unit += lanes<S>) {
        S* const sums = both + unit * gates;
        store(rh + unit, sigmoid(load(sums)) * load_first(s.h_prev + unit, w.H - unit));
        store(sums, sigmoid(load(sums + lanes<S>)));
    }
    plain_sums(s, w.bias_n, w.w_in.scalars, w.D, w.w_hn.scalars, rh, w.H, n);
    for (Index unit = 0; unit < w.H; unit += lanes<S>) {
        const Vec<S> candidate = tanh(load(n + unit)), h_prev = load_first(s.h_prev + unit, w.H - unit);
        store_first(s.h + unit, fma(load(both + unit * gates), h_prev - candidate, candidate), w.H - unit);
    }
}

// Scalars of scratch that a step needs; less than none: the cell, or its precision, has no step of this kind.
template <class Cell>
Index step_scratch(const Cell&) {
    return -1;
}
template <class S>
Index step_scratch(const Lstm<S>& cell) {
    return cell.weights.w_hh.narrow ? -1 : 0;
}
template <class S>
Index step_scratch(const GruResetAfter<S>& cell) {
    return cell.weights.w_hh.narrow ? -1 : 0;
}
template <class S>
Index step_scratch(const Elman<S>& cell) {
    return cell.weights.w_hh.narrow ? -1 : round_up_to_lanes<S>(cell.weights.H);
}
template <class S>
Index step_scratch(const GruResetBefore<S>& cell) {
    return cell.weights.w_hh.narrow ? -1 : 4 * round_up_to_lanes<S>(cell.weights.H);
}
template <class Cell, class S>
void single_step(const Cell&, const SingleStep<S>&) {}

}  // namespace fastrnn

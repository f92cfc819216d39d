// The vanilla recurrent network (Elman 1990; PyTorch's form):
//
//   h = f(W_ih x + b_ih + W_hh h' + b_hh)        h': the state before this step; f = tanh or relu
//
// weight_ih [H, D], weight_hh [H, H], biases [H]. The tape is the output y = h [T, N, H] itself. The caller owns all
// arrays; outputs must not overlap inputs.
#pragma once

#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/backward.hpp"
#include "kernels/recurrent/forward.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

template <class S>
struct ElmanWeights {
    Index D, H;
    Panels<S> w_ih, w_hh;            // plain panels of x W^T
    const S* bias;                   // b_ih + b_hh, padded to whole vectors
    Panels<S> w_ih_rows, w_hh_rows;  // plain panels of [H, D] and [H, H]; used by BPTT only
};

template <class S>
struct Elman {
    static constexpr Index grain = unit_grain<S>;
    static constexpr bool has_options = false, meets = false;
    ElmanWeights<S> weights;
    bool rectified;  // relu rather than tanh

    void project(const S* const* x, S* const* gx, Range tokens, Range units, const NarrowMemory& memory) const {
        Product<S> product{x, gx, weights.w_ih, weights.bias, weights.D, round_up_to_lanes<S>(units.end)};
        product.first = units.begin;
        product.memory = memory;
        multiply_panels(product, tokens.begin, tokens.end);
    }
    void gather(Index id, S* gx, Range units) const {
        gather_plain_panels(id, gx, weights.w_ih, weights.bias, weights.D, units);
    }

    void step(const StepRows<S>& rows) const {
        if constexpr (std::is_same_v<S, float>)
            if (weights.w_hh.narrow) return narrow_step(rows);
        const Index H = weights.H;
        alignas(64) S sums[max_accumulators * lanes<S>];
        for_panel_tiles<S>({rows.begin, rows.end}, rows.units, H, H,
                           [&](auto height, auto width, auto side, Index first, Index unit, Index, Index) {
                               constexpr int cols = width * side;
                               constexpr Index strip = width * lanes<S>;
                               Tile<S, height, cols> tile;
                               tile.start(rows.gx + first, unit);
                               tile.template multiply<width>(RowPointers<S, height>(rows.h_prev + first),
                                                             weights.w_hh + unit * H, H, strip * H);
                               tile.store_block(sums);
                               epilogue(sums, cols, rows.h + first, height, unit);
                           });
    }

    EIGEN_DONT_INLINE void narrow_step(const StepRows<S>& rows) const {
        const auto start = [&](const NarrowBlock& block) {
            for (Index r = 0; r < block.height; ++r)
                std::copy_n(rows.gx[block.row + r] + block.column, block.wide, block.sums + r * block.wide);
        };
        for_narrow_panels(rows.h_prev, 0, {rows.begin, rows.end}, weights.w_hh, weights.H, rows.units, rows.memory,
                          start, [&](const NarrowBlock& block) {
                              epilogue(block.sums, block.wide / lanes<S>, rows.h + block.row, block.height,
                                       block.column);
                          });
    }

    // h = f(sums) of one tile, [height][cols] vectors.
    EIGEN_DONT_INLINE void epilogue(S* sums, Index cols, S* const* h, Index height, Index unit) const {
        const S* const end = sums + height * cols * lanes<S>;
        if (rectified)
            for (S* sum = sums; sum < end; sum += lanes<S>) store(sum, relu(load(sum)));
        else
            for (S* sum = sums; sum < end; sum += lanes<S>) store(sum, tanh(load(sum)));
        for (Index r = 0; r < height; ++r)
            for (Index c = 0; c < cols; ++c, sums += lanes<S>)
                store_first(h[r] + unit + c * lanes<S>, load(sums), weights.H - unit - c * lanes<S>);
    }

    Index input_depth() const { return weights.H; }

    void backward_step(const BackwardRows<S>& rows) const {
        recurrent_gradient(rows, 0, weights.w_hh_rows, weights.H, false,
                           [&](Vec<S> dh, Index row, Index unit) { backward_epilogue(dh, rows, row, unit); });
    }

    void backward_epilogue(Vec<S> dh, const BackwardRows<S>& rows, Index row, Index unit) const {
        const Index width = weights.H - unit;
        const Vec<S> h = load_first(rows.h[row] + unit, width);
        store_first(rows.dgates[row] + unit, rectified ? where_positive(h, dh) : dh * dtanh(h), width);
    }

    void backward_start(const BackwardRows<S>& rows) const {
        recurrent_product(rows, 0, weights.w_hh_rows, weights.H, false, rows.end);
    }

    void parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                             const Worker& worker, int piece) const {
        shared_gate_gradients(p, scratch, tokens, input_depth(), worker, piece);
    }
};

}  // namespace fastrnn

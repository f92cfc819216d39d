// What a forward or backward pass over a sequence reads and writes.
#pragma once

#include "kernels/matrix/panels.hpp"
#include "kernels/recurrent/ragged_batch.hpp"

namespace fastrnn {

// The widths of one layer and direction, and the scalars of each kind of memory that its cell needs.
struct CellSizes {
    Index D = 0, H = 0;
    Index P = 0;                            // width of h: H, unless it is projected
    Index gates = 0;                        // G: rows of weight_ih in units of H
    Index recurrent_weights = 0;            // multiply-adds of one row's recurrent products at one step
    Index skip = 0;                         // steps that the skip connection spans; 0: none
    Index context = 0;                      // C: width of the context; 0: none
    Index carried = 0;                      // width of c, the state besides h; 0: none
    Index gx_width = 0;                     // scalars of one token's input part, in the layout of the cell's panels
    Index tape_gates = 0;                   // arrays of H per token that the tape keeps as `gates`
    Index bounded_gates = 0;                // kept in 16 bits each: the first so many lie in -1 .. 1; 0: as scalars
    Index dgates_width = 0;                 // scalars of one token's gate gradients
    Index scratch = 0;                      // scratch scalars of one row in a forward step
    Index backward_scratch = 0;             // the same in a backward step, kept from step to step
    Index kept = 0;                         // scalars of one token that backward recomputes for weight gradients
    const NarrowKernels* narrow = nullptr;  // how products of fewer bits are computed; null: of scalars
    bool projects = false;                  // is h a projection of the cell's output?
    bool normalises_inputs = false;         // are the gates' sums over x normalised by themselves?
    bool normalises_recurrent = false;      // are the gates' sums over h', or over both?
};

// h [N, P], c [N, carried], past [N, skip, P] (the last outputs, oldest first); null if the cell has none.
template <class S>
struct State {
    S *h = nullptr, *c = nullptr, *past = nullptr;
};

// What a forward pass keeps for backward; some of it is needed in inference too.
template <class S>
struct SequenceArrays {
    S* y = nullptr;       // [T, N, P] every h
    S* c = nullptr;       // [T, N, carried] in training, [N, carried] (the running state) otherwise; or null
    S* gates = nullptr;   // [T, N, tape_gates, H] in training, or null
    S* q = nullptr;       // [T, N, H] in training if h is projected: the projection's input
    S* normed = nullptr;  // [T, N, G H] in training if the cell normalises what reads h': before its gain
    S* scale = nullptr;   // [T, N, 2] with it: reciprocals of standard deviations
    // The gates in 16 bits each; then `gates` is null.
    std::conditional_t<std::is_const_v<S>, const std::uint16_t, std::uint16_t>* gates16 = nullptr;
};

// Arrays that a cell's options read in one pass; null if not used. Masks are null in inference.
template <class S>
struct OptionArrays {
    const S* input_mask = nullptr;      // [N, D] multiplies x
    const S* state_mask = nullptr;      // [N, P] multiplies h' in the recurrent product
    const S* output_mask = nullptr;     // [N, P] multiplies the output
    const S* candidate_mask = nullptr;  // [T, N, H]
    const S* zone_h = nullptr;          // [T, N, P] 1 where h' is kept (zoneout)
    const S* zone_c = nullptr;          // [T, N, H] 1 where c' is kept
    const S* context = nullptr;         // [N, C], or [T, N, C] if `each_context`
    const S* targets = nullptr;         // [T, N, P] fed back instead of h (teacher forcing)
    bool each_context = false;          // does each step have a context of its own?
};

// Gradients by parameter name, in the parameters' shapes; added to. Null if the cell has no such parameter.
template <class S>
struct ParameterGradients {
    S *weight_ih = nullptr, *weight_hh = nullptr, *bias_ih = nullptr, *bias_hh = nullptr;
    S *weight_hr = nullptr, *bias_hr = nullptr;
    S *weight_inner = nullptr, *weight_skip = nullptr, *weight_context = nullptr, *weight_peephole = nullptr;
    S *gain_ih = nullptr, *gain_hh = nullptr, *gain_c = nullptr, *bias_c = nullptr, *leak = nullptr;
    S* context = nullptr;  // of the context itself, in its shape
};

// Gradients that are summed over a whole pass before they are added to those of parameters. Segments of a pass add to
// the same sums, the first segment, which runs last, completes them: so the order of additions is that of a whole pass.
template <class S>
struct PassSums {
    S* leak = nullptr;     // [H], of a leak that all units share
    S* context = nullptr;  // [N, gates * H], of the gates' part from the context, rows in the order of their lengths
};

}  // namespace fastrnn

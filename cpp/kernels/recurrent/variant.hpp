// A cell with options: projection, peepholes, coupled gates, normalisation inside the recurrence, zoneout, dropout of
// states and candidates, leaks, connections over several steps, a context, other activations; and the cells without a
// recurrent product. One more cell on the loops of forward.hpp and backward.hpp; here is what it is made of, its steps
// are in variant_forward.hpp and variant_backward.hpp.
//
//   u = h' * state_mask                             h': the output before this step, [P]; c': the carried state, [H]
//   A = W_hh u + W_skip h(t - d) + W_inner c' + b_hh
//   I = W_ih x + b_ih + W_context context           context: one of all steps, or of each
//   q, c = cell(I + A, c')
//   h = zoneout(h', q)                              or of f(W_hr q + b_hr), [P]
//
// A Jordan network is a vanilla cell whose projection is its output: W_hh feeds the output back, W_inner, where there
// is one, the hidden units beside it.
//
// Layer normalisation, as Ba, Kiros and Hinton (2016) define it for each cell. The gates' sums before their biases are
//
//   LN(W_hh u + W_skip h(t - d) + W_inner c' + W_ih x + W_context context) * gain          in a vanilla cell (eq. 4)
//   LN(W_hh u + W_skip h(t - d)) * gain_hh + LN(W_ih x) * gain_ih + W_context context      in the others
//
// over all gates together, except that a candidate with a reset gate is normalised alone, as is the minGRU's.
//
// The gates of a token lie in a row of gx as in the plain cells, interleaved [unit][gate][lanes]; a candidate whose
// recurrent product needs another gate first (the GRU with the reset before the product, an LSTM with a relevance gate)
// lies after them, [H] padded. The tape keeps gates [T, N, K, H], c [T, N, H], where projected q [T, N, H], and where
// normalised what reads h' before its gain [T, N, G H] and one over its deviation [T, N, 2].
#pragma once

#include "kernels/recurrent/backward.hpp"
#include "kernels/recurrent/forward.hpp"
#include "kernels/recurrent/layer_norm.hpp"
#include "kernels/vector/activations.hpp"

namespace fastrnn {

enum class CellKind { elman, gru_after, gru_before, lstm, slstm, mingru, minlstm };
enum class Activation { sigmoid, tanh, relu, identity, hard_sigmoid, positive };

// What a cell does not have is null.
template <class S>
struct VariantWeights {
    const S *w_ih = nullptr, *w_hh = nullptr;                             // gate panels, without the candidate
    const S *w_skip = nullptr, *w_inner = nullptr, *w_context = nullptr;  // gate panels
    const S *w_ih_candidate = nullptr, *w_hh_candidate = nullptr, *w_context_candidate = nullptr;  // plain panels
    const S *bias = nullptr, *zeros = nullptr;                      // in the layout of gx; bias: b_ih + b_hh
    const S* bias_n = nullptr;                                      // gru_after: b_hn, padded
    const S *w_hr = nullptr, *b_hr = nullptr;                       // plain panels; padded
    const S *gain_ih = nullptr, *gain_hh = nullptr;                 // [G H]; gain_hh also of the sum of both parts
    const S *gain_c = nullptr, *bias_c = nullptr, *leak = nullptr;  // [H]
    const S* peephole[3] = {};                                      // of i, f, o: [H]
    const S* context_rows = nullptr;                                // weight_context itself, [G H, C]
    // Plain panels for backpropagation. In w_hh_rows the candidate's rows are zero.
    const S *w_ih_rows = nullptr, *w_hh_rows = nullptr, *w_hh_candidate_rows = nullptr;
    const S *w_skip_rows = nullptr, *w_inner_rows = nullptr, *w_hr_rows = nullptr, *w_context_rows = nullptr;
};

// The numbers of an LSTM's gates: i, f, g, o, and r; without f where coupled.
struct LstmGates {
    Index i = 0, f, g, o, r;
    explicit LstmGates(bool coupled) : f(coupled ? 0 : 1), g(coupled ? 1 : 2), o(g + 1), r(g + 2) {}
};

// Gates that are normalised together: all but `without`, or only `first`.
struct GateGroup {
    Index count, first, without;
    Index operator[](Index i) const { return first + i + (without >= 0 && i >= without ? 1 : 0); }
};

// Where the parts of a row lie.
struct VariantLayout {
    struct Place {
        Index base, stride;
    };
    Place gate[5] = {};                           // in a row of gx: unit u is at base + u * stride
    Index candidate = 0;                          // in a row of gx: the candidate with panels of its own
    Index u, ru, n, sums, cell, q;                // forward scratch
    Index du, dskip, dq, dru, cell_back, out, x;  // backward scratch
    Index kept_u, kept_ru, kept_x;                // recomputed for the gradients of weights
    // In a row of dgates. Gradients of the gates' sums; of the recurrent part where it differs; before its
    // normalisation; before that of the input part. Then what is summed over tokens: columns of their own.
    Index gates = 0, recurrent = 0, normed = 0, input = 0, projected = 0;
    Index leak = 0, peephole = 0, gain_ih = 0, gain_hh = 0, gain_c = 0, bias_c = 0;
};

template <class S>
class Variant {
   public:
    static constexpr Index grain = unit_grain<S>;
    static constexpr bool has_options = true, meets = true;

    CellKind kind = CellKind::elman;
    CellSizes sizes;
    bool coupled = false;       // f = 1 - i
    bool learned_leak = false;  // is the leak a parameter?
    bool shared_leak = false;   // is it one for all units?
    Index candidate = -1;       // the gate with panels of its own
    Index panel_gates = 0;      // the others, interleaved
    bool normed = false;        // is there a layer normalisation?
    bool joint = false;         // of the sum of the input part and the recurrent part?
    Index alone = -1;           // the gate that is normalised by itself; -1: none
    bool peeps_before = false;  // does o read c' rather than c?
    Activation gate_activation = Activation::sigmoid, candidate_activation = Activation::tanh;
    Activation output_activation = Activation::tanh, projection_activation = Activation::identity;
    S cell_clip = 0, zone_h = 0, zone_c = 0;  // 0: none; zoneout in inference
    VariantWeights<S> weights;
    VariantLayout layout;

    // Completes sizes and layout after kind, coupled, the sizes D, H, P, skip and context, and the flags are set.
    void arrange(bool relevance, bool layer_norm, bool peephole);

    Index width() const { return sizes.gates * sizes.H; }
    Index reset_gate() const { return kind == CellKind::gru_before ? 0 : LstmGates(coupled).r; }
    Index peepholes() const { return coupled ? 2 : 3; }
    Index groups() const { return alone >= 0 ? 2 : 1; }
    GateGroup group(Index which) const {
        return which == 0 ? GateGroup{sizes.gates - (alone >= 0 ? 1 : 0), 0, alone} : GateGroup{1, alone, -1};
    }

    // --- forward ---
    void start(const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const Share& share) const;
    void project(const S* const* x, S* const* gx, Range tokens, Range units, const NarrowMemory&) const;
    void gather(Index id, S* gx, Range units) const;
    void finish_inputs(const ForwardProblem<S>& p, const ForwardScratch<S>& scratch, const InputChunk<S>& chunk,
                       const Share& share) const;
    void step(const StepRows<S>& rows) const;

    // --- backward ---
    Index input_depth() const { return width(); }
    Index input_column() const { return layout.input; }
    Index context_column() const { return joint ? layout.normed : layout.gates; }
    void start_backward(const BackwardRows<S>& rows) const;
    void backward_step(const BackwardRows<S>& rows) const;
    void backward_start(const BackwardRows<S>& rows) const { recurrent_gradients(rows, rows.end, true); }
    void finish_rows(const BackwardRows<S>& rows, Index end) const;
    void finish_sums(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, const Worker& worker) const;
    void normalise_inputs_backward(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Range tokens) const;
    void mask_input_gradient(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Range tokens) const;
    void parameter_gradients(const BackwardProblem<S>& p, const BackwardScratch<S>& scratch, Index tokens,
                             const Worker& worker, int piece) const;

   private:
    // Product with gate panels into out rows; columns as multiply_gate_panels.
    void multiply_gates(Product<S> p, Range rows, Range units) const;
    Vec<S> gate(const StepRows<S>& rows, Index row, Index gate, Index unit) const {
        return load(rows.gx[row] + layout.gate[gate].base + unit * layout.gate[gate].stride);
    }
    void put_gate(const StepRows<S>& rows, Index row, Index gate, Index unit, Vec<S> value) const {
        store(rows.gx[row] + layout.gate[gate].base + unit * layout.gate[gate].stride, value);
    }
    void multiply_context(const S* const* context, S* const* out, Range rows, Range units) const;
    void activate_gate(const StepRows<S>& rows, Index gate, Activation activation) const;
    Vec<S> zoned_cell(const StepRows<S>& rows, Index row, Index unit, Vec<S> c) const;

    void normalise_inputs(S* const* rows, Range some) const;
    void point_options(const StepRows<S>& rows) const;
    void mask_states(const StepRows<S>& rows) const;
    void recurrent_sums(const StepRows<S>& rows) const;
    void normalise_sums(const StepRows<S>& rows, Index which) const;
    void reset_states(const StepRows<S>& rows) const;
    void candidate_sums(const StepRows<S>& rows) const;
    void cell_step(const StepRows<S>& rows) const;
    void elman_step(const StepRows<S>& rows) const;
    void gru_after_step(const StepRows<S>& rows) const;
    void gru_before_step(const StepRows<S>& rows) const;
    void lstm_step(const StepRows<S>& rows) const;
    void normalise_cell(const StepRows<S>& rows) const;
    void lstm_output(const StepRows<S>& rows) const;
    void slstm_step(const StepRows<S>& rows) const;
    void mingru_step(const StepRows<S>& rows) const;
    void minlstm_step(const StepRows<S>& rows) const;
    void project_outputs(const StepRows<S>& rows) const;
    void finish_outputs(const StepRows<S>& rows) const;

    void start_backward_of(const BackwardRows<S>& rows) const;
    void recurrent_gradients(const BackwardRows<S>& rows, Index end, bool first) const;
    void skip_gradients(const BackwardRows<S>& rows, Index row, Range outputs, Index source) const;
    void recompute(const BackwardRows<S>& rows) const;
    void output_gradients(const BackwardRows<S>& rows) const;
    void projection_gradients(const BackwardRows<S>& rows) const;
    void cell_gradients(const BackwardRows<S>& rows) const;
    void elman_gradients(const BackwardRows<S>& rows) const;
    void gru_gradients(const BackwardRows<S>& rows) const;
    void lstm_gradients(const BackwardRows<S>& rows) const;
    void lstm_output_gradients(const BackwardRows<S>& rows) const;
    void lstm_cell_gradients(const BackwardRows<S>& rows) const;
    void lstm_cell_gradients(const BackwardRows<S>& rows, Index row, Index unit) const;
    void slstm_gradients(const BackwardRows<S>& rows) const;
    void mingru_gradients(const BackwardRows<S>& rows) const;
    void minlstm_gradients(const BackwardRows<S>& rows) const;
    void candidate_gradients(const BackwardRows<S>& rows) const;
    void normalised_gradients(const BackwardRows<S>& rows, Index which) const;
    void context_sums(const BackwardRows<S>& rows) const;

    // Each separates a step's parts: when they return, all units of the step have done f.
    template <class Rows, class F>
    void with_units(const Rows& rows, F&& f) const {
        for_units(rows, sizes.H, sizes.P, grain, std::forward<F>(f));
    }
    template <class Rows, class F>
    void with_whole_rows(const Rows& rows, F&& f) const {
        for_whole_rows(rows, sizes.H, sizes.P, std::forward<F>(f));
    }
};

// f(row, unit, what is left from that unit on).
template <class S, class F>
FASTRNN_INLINE void for_row_units(Range rows, Range units, Index H, F&& f) {
    for (Index row = rows.begin; row < rows.end; ++row)
        for (Index unit = units.begin; unit < units.end; unit += lanes<S>) f(row, unit, H - unit);
}

template <class S>
void Variant<S>::arrange(bool relevance, bool layer_norm, bool peephole) {
    CellSizes& s = sizes;
    const Index H = s.H, P = s.P, padded = round_up_to_lanes<S>(H), padded_p = round_up_to_lanes<S>(P);
    switch (kind) {
        case CellKind::elman:
            s.gates = s.tape_gates = 1;
            break;
        case CellKind::gru_after:
            s.gates = 3, s.tape_gates = 4;
            break;
        case CellKind::gru_before:
            s.gates = s.tape_gates = 3, candidate = 2;
            break;
        case CellKind::lstm:
            s.gates = s.tape_gates = (coupled ? 3 : 4) + (relevance ? 1 : 0);
            if (relevance) candidate = LstmGates(coupled).g;
            break;
        case CellKind::slstm:
            s.gates = s.tape_gates = 4;
            break;
        case CellKind::mingru:
            s.gates = s.tape_gates = 2;
            break;
        case CellKind::minlstm:
            s.gates = 3, s.tape_gates = 4;
            break;
    }
    panel_gates = s.gates - (candidate >= 0 ? 1 : 0);
    layout.candidate = panel_gates * padded;
    for (Index gate = 0, place = 0; gate < s.gates; ++gate) {
        if (gate == candidate)
            layout.gate[gate] = {layout.candidate, 1};
        else
            layout.gate[gate] = {place++ * lanes<S>, panel_gates};
    }
    s.gx_width = s.gates * padded;
    normed = layer_norm;
    joint = layer_norm && kind == CellKind::elman;
    s.normalises_inputs = normed && !joint;
    s.normalises_recurrent = normed && kind != CellKind::mingru && kind != CellKind::minlstm;
    if (normed) alone = kind == CellKind::gru_after ? 2 : kind == CellKind::mingru ? 1 : candidate;

    Index end = 0;
    const auto take = [&](Index count) {
        const Index at = end;
        end += round_up_to_lanes<S>(count);
        return at;
    };
    VariantLayout& l = layout;
    l.u = take(P), l.ru = take(padded), l.n = take(padded), l.sums = take(normed && !joint ? s.gx_width : 0);
    l.cell = take(padded), l.q = take(padded);
    s.scratch = end;
    end = 0;
    l.du = take(padded_p), l.dskip = take(padded_p), l.dq = take(padded), l.dru = take(padded);
    l.cell_back = take(padded), l.out = take(padded), l.x = take(padded);
    s.backward_scratch = end;
    end = 0;
    l.kept_u = take(P), l.kept_ru = take(H), l.kept_x = take(s.D);
    s.kept = end;
    end = 0;
    const auto columns = [&](bool needed, Index count, Index otherwise) {
        if (!needed) return otherwise;
        const Index at = end;
        end += count;
        return at;
    };
    const Index all = width();
    l.gates = columns(true, all, 0);
    l.recurrent = columns(kind == CellKind::gru_after, all, l.gates);
    l.normed = columns(s.normalises_recurrent, all, l.recurrent);
    l.input = columns(s.normalises_inputs, all, joint ? l.normed : l.gates);
    l.projected = columns(s.projects, P, 0);
    l.leak = columns(learned_leak, H, 0);
    l.peephole = columns(peephole, peepholes() * H, 0);
    l.gain_ih = columns(s.normalises_inputs, all, 0);
    l.gain_hh = columns(s.normalises_recurrent, all, 0);
    l.gain_c = columns(layer_norm && kind == CellKind::lstm, H, 0);
    l.bias_c = columns(layer_norm && kind == CellKind::lstm, H, 0);
    s.dgates_width = end;
}

template <class S>
void Variant<S>::multiply_gates(Product<S> p, Range rows, Range units) const {
    switch (panel_gates) {
        case 1:
            p.first = units.begin;
            p.columns = round_up_to_lanes<S>(units.end);
            return multiply_panels(p, rows.begin, rows.end);
        case 2:
            return multiply_gate_panels<2>(p, rows, units);
        case 3:
            return multiply_gate_panels<3>(p, rows, units);
        default:
            return multiply_gate_panels<4>(p, rows, units);
    }
}

}  // namespace fastrnn

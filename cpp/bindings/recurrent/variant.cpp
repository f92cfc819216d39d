// The packed weights of cells with options.
#include "bindings/recurrent/packed.hpp"
#include "kernels/recurrent/variant_gradients.hpp"

namespace fastrnn::bindings {
namespace {

template <class T>
T choose(const std::string& name, const char* argument, std::initializer_list<std::pair<const char*, T>> choices) {
    std::string names;
    for (const auto& [known, value] : choices) {
        if (name == known) return value;
        names += names.empty() ? known : std::string(", ") + known;
    }
    throw py::value_error(std::string(argument) + ": expected one of " + names + ", got '" + name + "'");
}

Activation activation(const py::dict& options, const char* name) {
    return choose<Activation>(options[name].cast<std::string>(), name,
                              {{"sigmoid", Activation::sigmoid},
                               {"tanh", Activation::tanh},
                               {"relu", Activation::relu},
                               {"identity", Activation::identity},
                               {"hard_sigmoid", Activation::hard_sigmoid},
                               {"positive", Activation::positive}});
}

template <class S>
class PackedVariant : public PackedCell<S, Variant<S>> {
   public:
    PackedVariant(const std::string& kind, Index hidden_size, const py::dict& weights, const py::dict& options)
        : kind_(kind) {
        Variant<S>& cell = this->cell_;
        cell.kind = choose<CellKind>(kind, "kind",
                                     {{"elman", CellKind::elman},
                                      {"gru_after", CellKind::gru_after},
                                      {"gru_before", CellKind::gru_before},
                                      {"lstm", CellKind::lstm},
                                      {"slstm", CellKind::slstm},
                                      {"mingru", CellKind::mingru},
                                      {"minlstm", CellKind::minlstm}});
        const std::string leak = options["leak"].cast<std::string>();
        cell.coupled = options["coupled"].cast<bool>();
        cell.learned_leak = leak != "fixed", cell.shared_leak = leak == "shared";
        cell.gate_activation = activation(options, "gate_activation");
        cell.candidate_activation = activation(options, "candidate_activation");
        cell.output_activation = activation(options, "output_activation");
        cell.projection_activation = activation(options, "projection_activation");
        cell.cell_clip = options["cell_clip"].cast<S>();
        cell.zone_h = options["zone_h"].cast<S>(), cell.zone_c = options["zone_c"].cast<S>();
        set_sizes(hidden_size, weights, options["skip"].cast<Index>());
        cell.peeps_before = options["peephole"].cast<std::string>() == "previous";
        cell.arrange(options["relevance"].cast<bool>(), weights.contains("gain") || weights.contains("gain_ih"),
                     weights.contains("weight_peephole"));
        pack_products(weights);
        pack_biases(weights);
        pack_vectors(weights);
        cell.sizes.recurrent_weights =
            cell.width() * ((cell.weights.w_hh ? cell.sizes.P : 0) + (cell.weights.w_skip ? cell.sizes.P : 0) +
                            (cell.weights.w_inner ? cell.sizes.H : 0));
        this->sizes_ = cell.sizes;
        list_parameters(weights);
    }

    const char* cell() const override { return kind_.c_str(); }

   private:
    void set_sizes(Index hidden_size, const py::dict& weights, Index skip) {
        CellSizes& sizes = this->cell_.sizes;
        const auto columns = [&](const char* name) {
            return Index(expect<S>(weights[name], name, {{"G*H", any}, {"K", any}}).shape(1));
        };
        sizes.D = columns("weight_ih");
        sizes.H = sizes.P = hidden_size;
        sizes.projects = weights.contains("weight_hr");
        if (sizes.projects) sizes.P = expect<S>(weights["weight_hr"], "weight_hr", {{"P", any}, {"H", any}}).shape(0);
        sizes.skip = weights.contains("weight_skip") ? skip : 0;
        sizes.context = weights.contains("weight_context") ? columns("weight_context") : 0;
        const CellKind kind = this->cell_.kind;
        const bool has_c = kind == CellKind::lstm || weights.contains("weight_inner") ||
                           (kind == CellKind::gru_after && sizes.projects);
        sizes.carried = kind == CellKind::slstm ? 3 * hidden_size : has_c ? hidden_size : 0;
    }

    const S* rows_of(const py::dict& weights, const char* name, Index columns) const {
        return expect<S>(weights[name], name, {{"G*H", this->cell_.width()}, {"K", columns}}).data();
    }

    void pack_products(const py::dict& weights) {
        VariantWeights<S>& w = this->cell_.weights;
        const auto [D, H, P, C] =
            std::tuple(this->cell_.sizes.D, this->cell_.sizes.H, this->cell_.sizes.P, this->cell_.sizes.context);
        const S* const ih = rows_of(weights, "weight_ih", D);
        w.w_ih = pack_panel_gates(ih, D);
        w.w_ih_candidate = pack_candidate(ih, D);
        if (weights.contains("weight_hh")) {
            const S* const hh = rows_of(weights, "weight_hh", P);
            w.w_hh = pack_panel_gates(hh, P);
            w.w_hh_candidate = pack_candidate(hh, P);
        }
        if (this->cell_.sizes.skip) w.w_skip = pack_panel_gates(rows_of(weights, "weight_skip", P), P);
        if (weights.contains("weight_inner")) w.w_inner = pack_panel_gates(rows_of(weights, "weight_inner", H), H);
        if (C) {
            const S* const context = rows_of(weights, "weight_context", C);
            w.w_context = pack_panel_gates(context, C);
            w.w_context_candidate = pack_candidate(context, C);
            w.context_rows = copy(context, this->cell_.width() * C);
        }
        if (!this->cell_.sizes.projects) return;
        S* const hr = this->take(panels_size<S>(H, P));
        pack_transposed(expect<S>(weights["weight_hr"], "weight_hr", {{"P", P}, {"H", H}}).data(), P, H, hr);
        w.w_hr = hr;
        if (weights.contains("bias_hr"))
            w.b_hr = padded_copy(expect<S>(weights["bias_hr"], "bias_hr", {{"P", P}}).data(), P);
    }

    // b_ih + b_hh in the layout of gx; with the reset after the product, the candidate's b_hn is separate.
    void pack_biases(const py::dict& weights) {
        const Variant<S>& cell = this->cell_;
        const Index H = cell.sizes.H, width = cell.sizes.gx_width;
        const auto of = [&](const char* name) -> const S* {
            return weights.contains(name) ? expect<S>(weights[name], name, {{"G*H", cell.width()}}).data() : nullptr;
        };
        const S *const ih = of("bias_ih"), *const hh = of("bias_hh");
        S* const bias = this->take(width);
        S* const zeros = this->take(width);
        std::fill(bias, bias + width, S(0));
        std::fill(zeros, zeros + width, S(0));
        const auto is_separate = [&](Index gate) { return cell.kind == CellKind::gru_after && gate == 2; };
        for (Index gate = 0; gate < cell.sizes.gates; ++gate)
            for (Index unit = 0; unit < H; ++unit) {
                const auto& place = cell.layout.gate[gate];
                const Index vector = unit / lanes<S> * lanes<S>, i = gate * H + unit;
                bias[place.base + vector * place.stride + unit - vector] =
                    (ih ? ih[i] : S(0)) + (hh && !is_separate(gate) ? hh[i] : S(0));
            }
        this->cell_.weights.bias = bias;
        this->cell_.weights.zeros = zeros;
        if (cell.kind != CellKind::gru_after) return;
        S* const n = this->take(round_up_to_lanes<S>(H));
        for (Index unit = 0; unit < round_up_to_lanes<S>(H); ++unit) n[unit] = hh && unit < H ? hh[2 * H + unit] : S(0);
        this->cell_.weights.bias_n = n;
    }

    // The name of the gain of what reads h'.
    const char* cell_gain() const { return this->cell_.joint ? "gain" : "gain_hh"; }

    void pack_vectors(const py::dict& weights) {
        VariantWeights<S>& w = this->cell_.weights;
        const Index H = this->cell_.sizes.H, all = this->cell_.width(), peepholes = this->cell_.peepholes();
        const auto vector = [&](const char* name, Index count) -> const S* {
            return weights.contains(name) ? copy(expect<S>(weights[name], name, {{"H", count}}).data(), count)
                                          : nullptr;
        };
        w.gain_ih = vector("gain_ih", all);
        w.gain_hh = vector(cell_gain(), all);
        w.gain_c = vector("gain_c", H);
        w.bias_c = vector("bias_c", H);
        w.leak = vector("leak", H);
        if (!weights.contains("weight_peephole")) return;
        const auto given = expect<S>(weights["weight_peephole"], "weight_peephole", {{"K", peepholes}, {"H", H}});
        const S* const peephole = copy(given.data(), peepholes * H);
        w.peephole[0] = peephole;
        if (peepholes == 3) w.peephole[1] = peephole + H;
        w.peephole[2] = peephole + (peepholes - 1) * H;
    }

    void list_parameters(const py::dict& weights) {
        using Gradients = ParameterGradients<S>;
        const CellSizes& sizes = this->sizes_;
        const Index H = sizes.H, P = sizes.P, all = sizes.gates * H;
        const Variant<S>& cell = this->cell_;
        for (const Parameter<S>& one :
             std::initializer_list<Parameter<S>>{{"dweight_ih", &Gradients::weight_ih, all, sizes.D},
                                                 {"dweight_hh", &Gradients::weight_hh, all, P},
                                                 {"dbias_ih", &Gradients::bias_ih, all, 0},
                                                 {"dbias_hh", &Gradients::bias_hh, all, 0},
                                                 {"dweight_hr", &Gradients::weight_hr, P, H},
                                                 {"dbias_hr", &Gradients::bias_hr, P, 0},
                                                 {"dweight_inner", &Gradients::weight_inner, all, H},
                                                 {"dweight_skip", &Gradients::weight_skip, all, P},
                                                 {"dweight_context", &Gradients::weight_context, all, sizes.context},
                                                 {"dweight_peephole", &Gradients::weight_peephole, cell.peepholes(), H},
                                                 {"dgain_ih", &Gradients::gain_ih, all, 0},
                                                 {"dgain_hh", &Gradients::gain_hh, all, 0},
                                                 {"dgain", &Gradients::gain_hh, all, 0},
                                                 {"dgain_c", &Gradients::gain_c, H, 0},
                                                 {"dbias_c", &Gradients::bias_c, H, 0},
                                                 {"dleak", &Gradients::leak, cell.shared_leak ? 1 : H, 0}})
            if (weights.contains(one.key) && (std::strcmp(one.name(), "leak") != 0 || cell.learned_leak))
                this->parameters_.push_back(one);
    }

    // --- packing for the forward pass: weights [G H, K] ---

    template <class F>
    void for_panel_gates(F&& f) const {
        for (Index gate = 0, place = 0; gate < this->cell_.sizes.gates; ++gate)
            if (gate != this->cell_.candidate) f(gate, place++);
    }

    const S* pack_panel_gates(const S* w, Index K) {
        const Index H = this->cell_.sizes.H, gates = this->cell_.panel_gates;
        S* const panels = this->take(gate_panels_size<S>(K, H, gates));
        if (gates == 1) {
            pack_transposed(w, H, K, panels);
            return panels;
        }
        for_panel_gates([&](Index gate, Index place) {
            for (Index unit = 0; unit < H; unit += lanes<S>) {
                const GateVector<S> to(unit, place, gates, K);
                pack_transposed_vector(w + (gate * H + unit) * K, K, H - unit, panels + to.offset, to.stride);
            }
        });
        return panels;
    }

    const S* pack_candidate(const S* w, Index K) {
        if (this->cell_.candidate < 0) return nullptr;
        const Index H = this->cell_.sizes.H;
        S* const panels = this->take(panels_size<S>(K, H));
        pack_transposed(w + this->cell_.candidate * H * K, H, K, panels);
        return panels;
    }

    const S* copy(const S* from, Index count) {
        S* const to = this->take(count);
        std::copy(from, from + count, to);
        return to;
    }
    const S* padded_copy(const S* from, Index count) {
        S* const to = this->take(round_up_to_lanes<S>(count));
        std::fill(to, to + round_up_to_lanes<S>(count), S(0));
        std::copy(from, from + count, to);
        return to;
    }

    // --- packing for backward, from the same snapshot ---

    // Plain panels [depth, columns] of depth gates * H; without `candidate`, its rows are zero.
    const S* repack(const S* panels, const S* candidate, Index columns, Index gates) {
        const Index H = this->cell_.sizes.H, depth = gates * H, panel_gates = this->cell_.panel_gates;
        S* const rows = this->take(panels_size<S>(depth, columns));
        std::fill(rows, rows + panels_size<S>(depth, columns), S(0));
        for_panel_gates([&](Index gate, Index place) {
            if (panel_gates == 1)
                repack_plain(panels, H, columns, gate * H, depth, rows);
            else
                repack_gate(panels, panel_gates, place, H, columns, gate * H, depth, rows);
        });
        if (candidate) repack_plain(candidate, H, columns, this->cell_.candidate * H, depth, rows);
        return rows;
    }

    void pack_backward() override {
        VariantWeights<S>& w = this->cell_.weights;
        const CellSizes& sizes = this->sizes_;
        const Index H = sizes.H, P = sizes.P, gates = sizes.gates;
        w.w_ih_rows = repack(w.w_ih, w.w_ih_candidate, sizes.D, gates);
        if (w.w_hh) w.w_hh_rows = repack(w.w_hh, nullptr, P, this->cell_.kind == CellKind::gru_before ? 2 : gates);
        if (w.w_skip) w.w_skip_rows = repack(w.w_skip, nullptr, P, gates);
        if (w.w_context) w.w_context_rows = repack(w.w_context, w.w_context_candidate, sizes.context, gates);
        if (w.w_inner) w.w_inner_rows = repack(w.w_inner, nullptr, H, gates);
        if (w.w_hh_candidate) {
            S* const rows = this->take(panels_size<S>(H, P));
            repack_plain(w.w_hh_candidate, H, P, 0, H, rows);
            w.w_hh_candidate_rows = rows;
        }
        if (!w.w_hr) return;
        S* const rows = this->take(panels_size<S>(P, H));
        repack_plain(w.w_hr, P, H, 0, P, rows);
        w.w_hr_rows = rows;
    }

    std::string kind_;
};

template <class S>
py::object pack_variant(const std::string& kind, Index hidden_size, const py::dict& weights, const py::dict& options) {
    return share<Packed<S>>(std::make_shared<PackedVariant<S>>(kind, hidden_size, weights, options));
}

}  // namespace

void register_variant(py::module_& m) {
    m.def(
        "variant_pack",
        [](const std::string& kind, Index hidden_size, const py::dict& weights, const py::dict& options) {
            if (!weights.contains("weight_ih")) throw py::type_error("weights: expected weight_ih, got none");
            return (is_double(weights["weight_ih"]) ? pack_variant<double> : pack_variant<float>)(kind, hidden_size,
                                                                                                  weights, options);
        },
        py::arg("kind"), py::arg("hidden_size"), py::arg("weights"), py::arg("options"),
        "Return a packed snapshot of the weights of one layer of a cell with options.");
}

}  // namespace fastrnn::bindings

// The variants of the cells: a packed snapshot of weights and options, and its two passes over gates' input parts.
#include <cstring>
#include <optional>

#include "bindings/python/register.hpp"
#include "bindings/recurrent/arguments.hpp"
#include "kernels/recurrent/variant_backward.hpp"

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

// A cell as the kernels take it, and the memory that it points into. Never changed.
template <class S>
class VariantPanels {
   public:
    VariantPanels(const std::string& kind, Index hidden_size, const py::dict& weights, const py::dict& options) {
        VariantCell<S>& c = cell;
        c.kind = choose<VariantKind>(kind, "kind",
                                     {{"elman", VariantKind::elman},
                                      {"gru_after", VariantKind::gru_after},
                                      {"gru_before", VariantKind::gru_before},
                                      {"lstm", VariantKind::lstm},
                                      {"mingru", VariantKind::mingru},
                                      {"minlstm", VariantKind::minlstm}});
        const Index H = c.H = c.P = hidden_size;
        c.coupled = options["coupled"].cast<bool>();
        const bool relevance = options["relevance"].cast<bool>(), layer_norm = options["layer_norm"].cast<bool>();
        set_gates(relevance);
        const Index width = c.width(), G = c.gates;
        c.gate_activation = activation(options, "gate_activation");
        c.candidate_activation = activation(options, "candidate_activation");
        c.output_activation = activation(options, "output_activation");
        c.cell_clip = options["cell_clip"].cast<S>();
        c.zone_h = options["zone_h"].cast<S>(), c.zone_c = options["zone_c"].cast<S>();
        if (weights.contains("weight_hr")) {
            const auto w = expect<S>(weights["weight_hr"], "weight_hr", {{"P", any}, {"H", H}});
            c.P = w.shape(0);
            c.w_hr = transposed(w.data(), c.P, H);
            c.w_hr_rows = rows(w.data(), c.P, H);
            c.projection = activation(options, "projection_activation");
            if (weights.contains("bias_hr")) c.b_hr = padded(weights["bias_hr"], "bias_hr", {{"P", c.P}}, c.P);
        }
        if (weights.contains("weight_hh")) pack_recurrent(weights, G, layer_norm);
        if (weights.contains("weight_inner")) {
            const S* w = expect<S>(weights["weight_inner"], "weight_inner", {{"G*H", width}, {"H", H}}).data();
            c.w_inner = transposed(w, width, H);
            c.w_inner_rows = rows(w, width, H);
        }
        if (weights.contains("weight_skip")) {
            const S* w = expect<S>(weights["weight_skip"], "weight_skip", {{"G*H", width}, {"P", c.P}}).data();
            c.skip = options["skip"].cast<Index>();
            c.w_skip = transposed(w, width, c.P);
            c.w_skip_rows = rows(w, width, c.P);
        }
        if (weights.contains("weight_peephole")) {
            const Index count = c.coupled ? 2 : 3;
            const S* w = copy(weights["weight_peephole"], "weight_peephole", {{"K", count}, {"H", H}}, count * H);
            c.peephole[0] = w;
            if (!c.coupled) c.peephole[1] = w + H;
            c.peephole[2] = w + (count - 1) * H;
        }
        if (weights.contains("gain_c")) {
            c.gain_c = copy(weights["gain_c"], "gain_c", {{"H", H}}, H);
            c.bias_c = copy(weights["bias_c"], "bias_c", {{"H", H}}, H);
        }
        if (weights.contains("leak")) c.leak = copy(weights["leak"], "leak", {{"H", H}}, H);
    }

    VariantCell<S> cell{};

   private:
    void set_gates(bool relevance) {
        VariantCell<S>& c = cell;
        switch (c.kind) {
            case VariantKind::elman:
                c.gates = c.kept = 1;
                break;
            case VariantKind::gru_after:
                c.gates = 3, c.kept = 4;
                break;
            case VariantKind::gru_before:
                c.gates = c.kept = 3, c.candidate = 2;
                break;
            case VariantKind::lstm:
                c.gates = c.kept = (c.coupled ? 3 : 4) + (relevance ? 1 : 0);
                if (relevance) c.candidate = LstmGates(c.coupled).g;
                break;
            case VariantKind::mingru:
                c.gates = c.kept = 2;
                break;
            case VariantKind::minlstm:
                c.gates = c.kept = 3;
                break;
        }
    }

    void pack_recurrent(const py::dict& weights, Index G, bool layer_norm) {
        VariantCell<S>& c = cell;
        const Index H = c.H, P = c.P, width = c.width();
        const S* const w = expect<S>(weights["weight_hh"], "weight_hh", {{"G*H", G * H}, {"P", P}}).data();
        std::vector<S> own(w, w + width * P);
        if (c.candidate >= 0) {
            S* const candidate = own.data() + c.candidate * H * P;
            c.w_candidate = transposed(candidate, H, P);
            c.w_candidate_rows = rows(candidate, H, P);
            std::fill(candidate, candidate + H * P, S(0));
        }
        c.w_hh = transposed(own.data(), width, P);
        c.w_hh_rows = rows(own.data(), width, P);
        if (weights.contains("bias_hh")) {
            c.b_hh = padded(weights["bias_hh"], "bias_hh", {{"G*H", width}}, width);
        } else {
            S* const none = take(round_up_to_lanes<S>(width));
            std::fill(none, none + round_up_to_lanes<S>(width), S(0));
            c.b_hh = none;
        }
        if (!layer_norm) return;
        c.normed = c.candidate >= 0 ? c.candidate * H : width;
        c.gain_hh = copy(weights["gain_hh"], "gain_hh", {{"G*H", width}}, width);
    }

    S* take(Index count) {
        pieces_.emplace_back(count * Index(sizeof(S)));
        return static_cast<S*>(pieces_.back().get());
    }
    const S* transposed(const S* w, Index columns, Index K) {
        S* const panels = take(panels_size<S>(K, columns));
        pack_transposed(w, columns, K, panels);
        return panels;
    }
    const S* rows(const S* w, Index depth, Index columns) {
        S* const panels = take(panels_size<S>(depth, columns));
        pack_rows(w, depth, columns, 0, depth, panels);
        return panels;
    }
    const S* copy(py::handle value, const char* name, Shape shape, Index count) {
        const auto array = expect<S>(value, name, shape);
        S* const to = take(count);
        std::copy(array.data(), array.data() + count, to);
        return to;
    }

    const S* padded(py::handle value, const char* name, Shape shape, Index count) {
        const auto array = expect<S>(value, name, shape);
        S* const to = take(round_up_to_lanes<S>(count));
        std::fill(to, to + round_up_to_lanes<S>(count), S(0));
        std::copy(array.data(), array.data() + count, to);
        return to;
    }

    std::vector<OwnedBlock> pieces_;
};

// The state of one layer and direction: h [N, P], c [N, H] where there is one, past [N, skip, P] where there is one.
template <class S>
struct VariantState {
    std::optional<Array<S>> h, c, past;

    VariantState(const VariantCell<S>& cell, py::handle state, Index N, const char* name) {
        const auto own = py::reinterpret_borrow<py::tuple>(state);
        std::size_t i = 0;
        const auto next = [&](Shape shape) {
            if (i >= own.size()) throw py::type_error(std::string(name) + ": expected more arrays");
            return expect<S>(own[i++], name, shape);
        };
        h = next({{"N", N}, {"P", cell.P}});
        if (cell.has_c()) c = next({{"N", N}, {"H", cell.H}});
        if (cell.skip) past = next({{"N", N}, {"skip", cell.skip}, {"P", cell.P}});
        if (i != own.size()) throw py::type_error(std::string(name) + ": expected fewer arrays");
    }

    static const S* data(const std::optional<Array<S>>& array) { return array ? array->data() : nullptr; }
    static S* mutable_data(std::optional<Array<S>>& array) { return array ? array->mutable_data() : nullptr; }
};

template <class S>
VariantMasks<S> expect_masks(const VariantCell<S>& cell, const py::dict& masks, Index T, Index N) {
    const auto of = [&](const char* name, Shape shape) {
        return masks.contains(name) ? expect<S>(masks[name], name, shape).data() : nullptr;
    };
    return {of("h", {{"N", N}, {"P", cell.P}}), of("candidate", {{"T", T}, {"N", N}, {"H", cell.H}}),
            of("zone_h", {{"T", T}, {"N", N}, {"P", cell.P}}), of("zone_c", {{"T", T}, {"N", N}, {"H", cell.H}})};
}

// What both passes are given.
template <class S>
struct VariantCall {
    const VariantCell<S>& cell;
    Index T, N;
    Segment part;
    VariantState<S> state, restart;
    Rows rows;
    bool has_lengths;
    SignalInterrupt interrupt;
    VariantProblem<S> p;

    VariantCall(const VariantCell<S>& cell_, const py::array& gates, py::object state_, py::object lengths,
                py::object reset, bool reverse, py::object segment, const py::dict& masks)
        : cell(cell_),
          T(gates.shape(0)),
          N(gates.shape(1)),
          part(segment, T),
          state(cell, state_, N, "state"),
          restart(cell, part.whole ? state_ : part.restart, N, "restart"),
          rows(T, N, lengths, part),
          has_lengths(!lengths.is_none()),
          p{} {
        p.batch = rows.batch(T, reverse, optional_data<bool>(reset, "reset", {{"T", T}, {"N", N}}));
        p.h0 = state.h->data(), p.c0 = state.data(state.c), p.past = state.data(state.past);
        p.h_reset = restart.h->data(), p.c_reset = restart.data(restart.c), p.past_reset = restart.data(restart.past);
        p.masks = expect_masks(cell, masks, T, N);
        p.interrupt = &interrupt;
    }

    int threads(int passes) const {
        const double work = double(p.batch.tokens()) * double(cell.width()) * double(cell.P + 8);
        return int(std::min<Index>(useful_threads(get_num_threads(), passes * work), N));
    }

    void clear(S* values, Index width) const {
        if (values && has_lengths) clear_padding(values, width, p.batch);
    }
};

// (y, (h, c), saved): saved is a dictionary of what the way back reads.
template <class S>
py::tuple forward(const VariantPanels<S>& panels, py::object gx, py::object state, py::object lengths, py::object reset,
                  bool reverse, bool training, py::object segment, const py::dict& masks) {
    const VariantCell<S>& cell = panels.cell;
    const Index H = cell.H, P = cell.P, width = cell.width();
    const auto input = expect<S>(gx, "gx", {{"T", any}, {"N", any}, {"G*H", width}});
    VariantCall<S> call(cell, input, state, lengths, reset, reverse, segment, masks);
    const Index T = call.T, N = call.N;
    VariantProblem<S>& p = call.p;
    p.gx = input.data();
    p.training = training;
    auto y = new_array<S>("y", {T, N, P});
    auto h_n = new_array<S>("state", {N, P});
    p.y = y.mutable_data();
    std::optional<Array<S>> c_n, c, gates, q, normed, scale;
    if (cell.has_c()) {
        c_n = new_array<S>("state", {N, H});
        c = training ? new_array<S>("c", {T, N, H}) : *c_n;
        p.c = c->mutable_data();
    }
    if (training) {
        gates = new_array<S>("gates", {T, N, cell.kept, H});
        p.gates = gates->mutable_data();
        if (cell.projected()) q = new_array<S>("q", {T, N, H}), p.q = q->mutable_data();
        if (cell.normed) {
            normed = new_array<S>("normed", {T, N, width}), p.normed = normed->mutable_data();
            scale = new_array<S>("scale", {T, N, 2}), p.scale = scale->mutable_data();
        }
    }
    S* const h_last = h_n.mutable_data();
    S* const c_last = VariantState<S>::mutable_data(c_n);
    {
        const py::gil_scoped_release release;
        const VariantScratch<S> scratch(cell, N, fresh_workspace());
        run_team(call.threads(1), [&](const Worker& worker) { run_variant(cell, p, scratch, worker); });
        for (Index row = 0; row < N; ++row) {
            const Index n = p.batch.order[row], length = p.batch.length[row];
            const Index end = length > 0 ? p.batch.at(length - 1, row) : n;
            const S* const h = (length > 0 ? p.y : p.h0) + end * P;
            std::copy(h, h + P, h_last + n * P);
            if (!c_last || (length > 0 && !training)) continue;
            const S* const from = (length > 0 ? p.c : p.c0) + end * H;
            std::copy(from, from + H, c_last + n * H);
        }
        call.clear(p.y, P);
        if (training) call.clear(p.c, H);
        call.clear(p.gates, cell.kept * H);
        call.clear(p.q, H);
        call.clear(p.normed, width);
        call.clear(p.scale, 2);
    }
    call.interrupt.finish();
    py::dict saved;
    const auto save = [&](const char* name, const std::optional<Array<S>>& array) {
        if (training && array) saved[name] = *array;
    };
    saved["y"] = y;
    save("c", c), save("gates", gates), save("q", q), save("normed", normed), save("scale", scale);
    const py::tuple last = c_n ? py::tuple(py::make_tuple(h_n, *c_n)) : py::tuple(py::make_tuple(h_n));
    return py::make_tuple(y, last, saved);
}

// A dictionary: dgx, what else the parameters' gradients are made of, and dstate, with what resets sent back added to
// `drestart` where the pass is a segment.
template <class S>
py::dict backward(const VariantPanels<S>& panels, const py::dict& saved, py::object state, py::object lengths,
                  py::object reset, bool reverse, py::object segment, const py::dict& masks, py::object dy,
                  py::object dstate_n, py::object drestart) {
    const VariantCell<S>& cell = panels.cell;
    const Index H = cell.H, P = cell.P, width = cell.width();
    const auto y = expect<S>(saved["y"], "y", {{"T", any}, {"N", any}, {"P", P}});
    VariantCall<S> call(cell, y, state, lengths, reset, reverse, segment, masks);
    const Index T = call.T, N = call.N;
    VariantProblem<S>& p = call.p;
    const auto tape = [&](const char* name, Shape shape) {
        return saved.contains(name) ? const_cast<S*>(expect<S>(saved[name], name, shape).data()) : nullptr;
    };
    p.training = true;
    p.y = const_cast<S*>(y.data());
    p.c = tape("c", {{"T", T}, {"N", N}, {"H", H}});
    p.gates = tape("gates", {{"T", T}, {"N", N}, {"K", cell.kept}, {"H", H}});
    p.q = tape("q", {{"T", T}, {"N", N}, {"H", H}});
    p.normed = tape("normed", {{"T", T}, {"N", N}, {"G*H", width}});
    p.scale = tape("scale", {{"T", T}, {"N", N}, {"2", 2}});
    const VariantState<S> dlast(cell, dstate_n, N, "dstate");
    VariantGradients<S> d{};
    d.dy = expect<S>(dy, "dy", {{"T", T}, {"N", N}, {"P", P}}).data();
    d.dh_n = dlast.h->data(), d.dc_n = dlast.data(dlast.c);
    py::dict result;
    const auto give = [&](const char* name, std::initializer_list<Index> shape, bool zero = false) {
        auto array = new_array<S>(name, shape, zero);
        result[name] = array;
        return array.mutable_data();
    };
    d.dgx = give("dgx", {T, N, width});
    if (cell.scales_candidate()) d.drecurrent = give("drecurrent", {T, N, width});
    if (cell.normed) d.dnormed = give("dnormed", {T, N, width});
    if (cell.projected()) d.dprojected = give("dprojected", {T, N, P});
    if (cell.leak || cell.gain_c) d.dinner = give("dinner", {T, N, H});
    d.dh0 = d.dh_reset = give("dh", {N, P}, true);
    if (cell.has_c()) d.dc0 = d.dc_reset = give("dc", {N, H}, true);
    if (cell.skip) d.dpast = d.dpast_reset = give("dpast", {N, cell.skip, P}, true);
    if (!drestart.is_none()) {
        VariantState<S> back(cell, drestart, N, "drestart");
        d.dh_reset = back.h->mutable_data();
        d.dc_reset = back.mutable_data(back.c), d.dpast_reset = back.mutable_data(back.past);
    }
    p.gx = d.dgx;  // not read
    {
        const py::gil_scoped_release release;
        Workspace& workspace = fresh_workspace();
        const VariantBackScratch<S> scratch(cell, p, d, workspace);
        auto* const rows = workspace.take<VariantBackRow<S>>(N);
        run_team(call.threads(2),
                 [&](const Worker& worker) { run_variant_backward(cell, p, d, scratch, rows, worker); });
        for (S* values : {d.dgx, d.drecurrent, d.dnormed}) call.clear(values, width);
        call.clear(d.dprojected, P);
        call.clear(d.dinner, H);
    }
    call.interrupt.finish();
    return result;
}

template <class S>
void register_dtype(py::module_& m, const char* name) {
    py::class_<VariantPanels<S>>(m, name, py::module_local());
    m.def("variant_forward", &forward<S>, py::arg("panels"), py::arg("gx"), py::arg("state"), py::arg("lengths"),
          py::arg("reset"), py::arg("reverse"), py::arg("training"), py::arg("segment"), py::arg("masks"),
          "Runs a variant of a cell over its gates' input parts: (y [T, N, P], last state, what backward reads).");
    m.def("variant_backward", &backward<S>, py::arg("panels"), py::arg("saved"), py::arg("state"), py::arg("lengths"),
          py::arg("reset"), py::arg("reverse"), py::arg("segment"), py::arg("masks"), py::arg("dy"),
          py::arg("dstate_n"), py::arg("drestart"), "Backpropagation through time: gradients step by step, by name.");
}

}  // namespace

void register_variants(py::module_& m) {
    register_dtype<float>(m, "VariantPanels32");
    register_dtype<double>(m, "VariantPanels64");
    m.def(
        "variant_pack",
        [](const std::string& kind, Index hidden_size, const py::dict& weights, const py::dict& options, bool wide) {
            return wide ? py::cast(std::make_unique<VariantPanels<double>>(kind, hidden_size, weights, options))
                        : py::cast(std::make_unique<VariantPanels<float>>(kind, hidden_size, weights, options));
        },
        py::arg("kind"), py::arg("hidden_size"), py::arg("weights"), py::arg("options"), py::arg("wide"),
        "Packs a snapshot of a variant's weights and options; `wide` for float64.");
}

}  // namespace fastrnn::bindings

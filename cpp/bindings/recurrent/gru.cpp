#include "kernels/recurrent/gru.hpp"

#include "bindings/python/register.hpp"
#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S, class Cell>
class GruPanels : public Panels<S> {
   public:
    static constexpr bool reset_after = std::is_same_v<Cell, GruResetAfter<S>>;
    static constexpr Index panel_gates = reset_after ? 3 : 2;  // the others stand alone, as the candidate

    explicit GruPanels(const Weights<S>& w) : Panels<S>(w.D, w.H) {
        const Index D = w.D, H = w.H, padded = round_up_to_lanes<S>(H);
        S* ih = this->storage(gate_panels_size<S>(D, H, panel_gates));
        S* hh = this->storage(gate_panels_size<S>(H, H, panel_gates));
        S* bias = this->storage(gate_panels_size<S>(1, H, panel_gates));
        S* bias_n = this->storage(padded);
        pack_gates(w.ih, panel_gates, H, D, ih);
        pack_gates(w.hh, panel_gates, H, H, hh);
        const auto input_bias = [&](Index i) { return i < 2 * H ? w.bias(i) : w.bias_ih ? w.bias_ih[i] : S(0); };
        pack_gate_bias(input_bias, panel_gates, H, bias);
        cell_.weights = {D, H, ih, hh, nullptr, nullptr, bias, bias_n, nullptr, nullptr, nullptr};
        for (Index i = 0; i < padded; ++i)
            bias_n[i] = i >= H ? S(0) : !reset_after ? w.bias(2 * H + i) : w.bias_hh ? w.bias_hh[2 * H + i] : S(0);
        if (!reset_after) {
            cell_.weights.w_in = pack_candidate(w.ih + 2 * H * D, D);
            cell_.weights.w_hn = pack_candidate(w.hh + 2 * H * H, H);
        }
    }

    int gates() const override { return 3; }
    int states() const override { return 1; }
    Index gx_width() const override { return gate_panels_size<S>(1, this->H, 3); }
    Index tape_width() const override { return (reset_after ? 4 : 3) * this->H; }
    Index dgates_width() const override { return (reset_after ? 4 : 3) * this->H; }
    bool needs_rh() const override { return !reset_after; }
    const char* cell() const override { return "gru"; }

    void forward(const ForwardProblem<S>& p, const ForwardScratch<S>& s, const Worker& w) const override {
        run_forward(cell_, p, s, w);
    }
    void backward(const BackwardProblem<S>& p, const BackwardScratch<S>& s, const Worker& w) const override {
        run_backward(cell_, p, s, w);
    }

   private:
    const S* pack_candidate(const S* w, Index K) {
        S* panels = this->storage(panels_size<S>(K, this->H));
        pack_transposed(w, this->H, K, panels);
        return panels;
    }

    void pack_backward() override {
        const Index D = this->D, H = this->H, depth = panel_gates * H;
        auto& w = cell_.weights;
        S* ih = this->storage(panels_size<S>(3 * H, D));
        S* hh = this->storage(panels_size<S>(depth, H));
        for (Index gate = 0; gate < panel_gates; ++gate) {  // of x: r, z, n; their gradients stand as n, r, z
            repack_gate(w.w_ih, panel_gates, gate, H, D, (gate + 1) % 3 * H, 3 * H, ih);
            repack_gate(w.w_hh, panel_gates, gate, H, H, gate * H, depth, hh);
        }
        if (!reset_after) {
            S* hn = this->storage(panels_size<S>(H, H));
            repack_plain(w.w_in, H, D, 0, 3 * H, ih);
            repack_plain(w.w_hn, H, H, 0, H, hn);
            w.w_hn_rows = hn;
        }
        w.w_ih_rows = ih;
        w.w_hh_rows = hh;
    }

    Cell cell_;
};

template <class S>
py::object pack(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after) {
    const Weights<S> weights(3, ih, hh, bias_ih, bias_hh);
    std::shared_ptr<Panels<S>> panels;
    if (reset_after)
        panels = std::make_shared<GruPanels<S, GruResetAfter<S>>>(weights);
    else
        panels = std::make_shared<GruPanels<S, GruResetBefore<S>>>(weights);
    return py::cast(panels);
}

}  // namespace

void register_gru(py::module_& m) {
    m.def(
        "gru_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after) {
            return (is_double(ih) ? pack<double> : pack<float>)(ih, hh, bias_ih, bias_hh, reset_after);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("reset_after") = true, "Packs a snapshot of one GRU layer's weights.");
}

}  // namespace fastrnn::bindings

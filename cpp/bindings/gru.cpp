#include "kernels/gru.hpp"

#include "recurrent.hpp"
#include "register.hpp"

namespace fastrnn::bindings {
namespace {

template <class S, class Cell>
class GruPanels : public Panels<S> {
   public:
    static constexpr bool reset_after = std::is_same_v<Cell, GruResetAfter<S>>;
    static constexpr Index recurrent_gates = reset_after ? 3 : 2;

    explicit GruPanels(const Weights<S>& w) : Panels<S>(w.D, w.H) {
        const Index D = w.D, H = w.H, padded = round_up_to_lanes<S>(H);
        S* ih = this->storage(gate_panels_size<S>(D, H, 3));
        S* hh = this->storage(gate_panels_size<S>(H, H, recurrent_gates));
        S* hn = reset_after ? nullptr : this->storage(panels_size<S>(H, H));
        S* bias = this->storage(gate_panels_size<S>(1, H, 3));
        S* bias_hn = this->storage(padded);
        pack_gates(w.ih, 3, H, D, ih);
        pack_gates(w.hh, recurrent_gates, H, H, hh);
        if (!reset_after) pack_transposed(w.hh + 2 * H * H, H, H, hn);
        const auto input_bias = [&](Index i) {
            return reset_after && i >= 2 * H ? (w.bias_ih ? w.bias_ih[i] : S(0)) : w.bias(i);
        };
        pack_gate_bias(input_bias, 3, H, bias);
        for (Index i = 0; i < padded; ++i) bias_hn[i] = i < H && w.bias_hh ? w.bias_hh[2 * H + i] : S(0);
        cell_.weights = {D, H, ih, hh, hn, bias, bias_hn, nullptr, nullptr, nullptr};
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
    void pack_backward() override {
        const Index D = this->D, H = this->H, depth = recurrent_gates * H;
        S* ih = this->storage(panels_size<S>(3 * H, D));
        S* hh = this->storage(panels_size<S>(depth, H));
        for (Index gate = 0; gate < 3; ++gate)  // r, z, n; their gradients stand as n, r, z
            repack_gate(cell_.weights.w_ih, 3, gate, H, D, (gate + 1) % 3 * H, 3 * H, ih);
        for (Index gate = 0; gate < recurrent_gates; ++gate)
            repack_gate(cell_.weights.w_hh, recurrent_gates, gate, H, H, gate * H, depth, hh);
        if (!reset_after) {
            S* hn = this->storage(panels_size<S>(H, H));
            repack_plain(cell_.weights.w_hn, H, H, hn);
            cell_.weights.w_hn_rows = hn;
        }
        cell_.weights.w_ih_rows = ih;
        cell_.weights.w_hh_rows = hh;
    }

    Cell cell_;
};

template <class S>
std::shared_ptr<Panels<S>> pack(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh,
                                bool reset_after) {
    const Weights<S> weights(3, ih, hh, bias_ih, bias_hh);
    if (reset_after) return std::make_shared<GruPanels<S, GruResetAfter<S>>>(weights);
    return std::make_shared<GruPanels<S, GruResetBefore<S>>>(weights);
}

}  // namespace

void register_gru(py::module_& m) {
    m.def(
        "gru_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after) -> py::object {
            if (is_double(ih)) return py::cast(pack<double>(ih, hh, bias_ih, bias_hh, reset_after));
            return py::cast(pack<float>(ih, hh, bias_ih, bias_hh, reset_after));
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("reset_after") = true, "Packs a snapshot of one GRU layer's weights.");
}

}  // namespace fastrnn::bindings

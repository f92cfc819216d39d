// The packed weights of the GRU, with the reset gate after or before the product.
#include "kernels/recurrent/gru.hpp"

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S, class Cell>
class PackedGru : public PackedCell<S, Cell> {
   public:
    static constexpr bool reset_after = std::is_same_v<Cell, GruResetAfter<S>>;
    static constexpr Index panel_gates = reset_after ? 3 : 2;  // otherwise the candidate has its own panels

    explicit PackedGru(const Weights<S>& w) {
        const Index D = w.D, H = w.H, padded = round_up_to_lanes<S>(H);
        this->sizes_ = w.sizes(3);
        this->parameters_ = w.parameters(3);
        this->sizes_.gx_width = gate_panels_size<S>(1, H, 3);
        this->sizes_.tape_gates = reset_after ? 4 : 3;
        this->sizes_.dgates_width = (reset_after ? 4 : 3) * H;
        this->sizes_.scratch = this->sizes_.kept = reset_after ? 0 : H;
        this->sizes_.backward_scratch = reset_after ? 0 : padded;
        S* ih = this->take(gate_panels_size<S>(D, H, panel_gates));
        S* hh = this->take(gate_panels_size<S>(H, H, panel_gates));
        S* bias = this->take(gate_panels_size<S>(1, H, panel_gates));
        S* bias_n = this->take(padded);
        pack_gates(w.ih, panel_gates, H, D, ih);
        pack_gates(w.hh, panel_gates, H, H, hh);
        const auto input_bias = [&](Index i) { return i < 2 * H ? w.bias(i) : w.bias_ih ? w.bias_ih[i] : S(0); };
        pack_gate_bias(input_bias, panel_gates, H, bias);
        auto& weights = this->cell_.weights;
        weights.D = D, weights.H = H;
        weights.w_ih = ih, weights.w_hh = hh, weights.bias = bias, weights.bias_n = bias_n;
        for (Index i = 0; i < padded; ++i)
            bias_n[i] = i >= H ? S(0) : !reset_after ? w.bias(2 * H + i) : w.bias_hh ? w.bias_hh[2 * H + i] : S(0);
        if (!reset_after) {
            weights.w_in = pack_candidate(w.ih + 2 * H * D, H, D);
            weights.w_hn = pack_candidate(w.hh + 2 * H * H, H, H);
        }
    }

    const char* cell() const override { return "gru"; }

   private:
    const S* pack_candidate(const S* w, Index H, Index K) {
        S* panels = this->take(panels_size<S>(K, H));
        pack_transposed(w, H, K, panels);
        return panels;
    }

    void pack_backward() override {
        auto& w = this->cell_.weights;
        const Index D = w.D, H = w.H, depth = panel_gates * H;
        S* ih = this->take(panels_size<S>(3 * H, D));
        S* hh = this->take(panels_size<S>(depth, H));
        for (Index gate = 0; gate < panel_gates; ++gate) {  // r, z, n; the gradients for x are in the order n, r, z
            repack_gate(w.w_ih, panel_gates, gate, H, D, (gate + 1) % 3 * H, 3 * H, ih);
            repack_gate(w.w_hh, panel_gates, gate, H, H, gate * H, depth, hh);
        }
        if (!reset_after) {
            S* hn = this->take(panels_size<S>(H, H));
            repack_plain(w.w_in, H, D, 0, 3 * H, ih);
            repack_plain(w.w_hn, H, H, 0, H, hn);
            w.w_hn_rows = hn;
        }
        w.w_ih_rows = ih;
        w.w_hh_rows = hh;
    }
};

template <class S>
py::object pack(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after) {
    const Weights<S> weights(3, ih, hh, bias_ih, bias_hh);
    std::shared_ptr<Packed<S>> packed;
    if (reset_after)
        packed = std::make_shared<PackedGru<S, GruResetAfter<S>>>(weights);
    else
        packed = std::make_shared<PackedGru<S, GruResetBefore<S>>>(weights);
    return share(packed);
}

}  // namespace

void register_gru(py::module_& m) {
    m.def(
        "gru_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after) {
            return (is_double(ih) ? pack<double> : pack<float>)(ih, hh, bias_ih, bias_hh, reset_after);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("reset_after") = true, "Return a packed snapshot of one GRU layer's weights.");
}

}  // namespace fastrnn::bindings

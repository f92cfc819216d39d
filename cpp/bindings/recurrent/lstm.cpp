#include "kernels/recurrent/lstm.hpp"

#include "bindings/python/register.hpp"
#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
class LstmPanels : public Panels<S> {
   public:
    explicit LstmPanels(const Weights<S>& w) : Panels<S>(w.D, w.H) {
        constexpr Index G = Lstm<S>::gates;
        S* ih = this->storage(gate_panels_size<S>(w.D, w.H, G));
        S* hh = this->storage(gate_panels_size<S>(w.H, w.H, G));
        S* bias = this->storage(gate_panels_size<S>(1, w.H, G));
        pack_gates(w.ih, G, w.H, w.D, ih);
        pack_gates(w.hh, G, w.H, w.H, hh);
        pack_gate_bias([&](Index i) { return w.bias(i); }, G, w.H, bias);
        cell_.weights = {w.D, w.H, ih, hh, bias, nullptr, nullptr};
    }

    int gates() const override { return 4; }
    int states() const override { return 2; }
    Index gx_width() const override { return gate_panels_size<S>(1, this->H, 4); }
    Index tape_width() const override { return 4 * this->H; }
    Index dgates_width() const override { return 4 * this->H; }
    const char* cell() const override { return "lstm"; }

    void forward(const ForwardProblem<S>& p, const ForwardScratch<S>& s, const Worker& w) const override {
        run_forward(cell_, p, s, w);
    }
    void backward(const BackwardProblem<S>& p, const BackwardScratch<S>& s, const Worker& w) const override {
        run_backward(cell_, p, s, w);
    }

   private:
    void pack_backward() override {
        const Index D = this->D, H = this->H, depth = 4 * H;
        S* ih = this->storage(panels_size<S>(depth, D));
        S* hh = this->storage(panels_size<S>(depth, H));
        for (Index gate = 0; gate < 4; ++gate) {
            repack_gate(cell_.weights.w_ih, 4, gate, H, D, gate * H, depth, ih);
            repack_gate(cell_.weights.w_hh, 4, gate, H, H, gate * H, depth, hh);
        }
        cell_.weights.w_ih_rows = ih;
        cell_.weights.w_hh_rows = hh;
    }

    Lstm<S> cell_;
};

template <class S>
py::object pack(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh) {
    return py::cast(
        std::shared_ptr<Panels<S>>(std::make_shared<LstmPanels<S>>(Weights<S>(4, ih, hh, bias_ih, bias_hh))));
}

}  // namespace

void register_lstm(py::module_& m) {
    m.def(
        "lstm_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh) {
            return (is_double(ih) ? pack<double> : pack<float>)(ih, hh, bias_ih, bias_hh);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        "Packs a snapshot of one LSTM layer's weights.");
}

}  // namespace fastrnn::bindings

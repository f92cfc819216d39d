#include "kernels/recurrent/elman.hpp"

#include "bindings/python/register.hpp"
#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
class ElmanPanels : public Panels<S> {
   public:
    ElmanPanels(const Weights<S>& w, bool rectified) : Panels<S>(w.D, w.H) {
        S* ih = this->storage(panels_size<S>(w.D, w.H));
        S* hh = this->storage(panels_size<S>(w.H, w.H));
        S* bias = this->storage(round_up_to_lanes<S>(w.H));
        pack_transposed(w.ih, w.H, w.D, ih);
        pack_transposed(w.hh, w.H, w.H, hh);
        for (Index i = 0; i < round_up_to_lanes<S>(w.H); ++i) bias[i] = i < w.H ? w.bias(i) : S(0);
        cell_.rectified = rectified;
        cell_.weights = {w.D, w.H, ih, hh, bias, nullptr, nullptr};
    }

    int gates() const override { return 1; }
    int states() const override { return 1; }
    Index gx_width() const override { return round_up_to_lanes<S>(this->H); }
    Index tape_width() const override { return 0; }
    Index dgates_width() const override { return this->H; }
    const char* cell() const override { return "elman"; }

    void forward(const ForwardProblem<S>& p, const ForwardScratch<S>& s, const Worker& w) const override {
        run_forward(cell_, p, s, w);
    }
    void backward(const BackwardProblem<S>& p, const BackwardScratch<S>& s, const Worker& w) const override {
        run_backward(cell_, p, s, w);
    }

   private:
    void pack_backward() override {
        S* ih = this->storage(panels_size<S>(this->H, this->D));
        S* hh = this->storage(panels_size<S>(this->H, this->H));
        repack_plain(cell_.weights.w_ih, this->H, this->D, 0, this->H, ih);
        repack_plain(cell_.weights.w_hh, this->H, this->H, 0, this->H, hh);
        cell_.weights.w_ih_rows = ih;
        cell_.weights.w_hh_rows = hh;
    }

    Elman<S> cell_;
};

template <class S>
py::object pack(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool rectified) {
    return py::cast(std::shared_ptr<Panels<S>>(
        std::make_shared<ElmanPanels<S>>(Weights<S>(1, ih, hh, bias_ih, bias_hh), rectified)));
}

}  // namespace

void register_elman(py::module_& m) {
    m.def(
        "elman_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh,
           const std::string& nonlinearity) -> py::object {
            if (nonlinearity != "tanh" && nonlinearity != "relu")
                throw py::value_error("nonlinearity: expected 'tanh' or 'relu', got '" + nonlinearity + "'");
            const bool relu = nonlinearity == "relu";
            return (is_double(ih) ? pack<double> : pack<float>)(ih, hh, bias_ih, bias_hh, relu);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("nonlinearity") = "tanh", "Packs a snapshot of one vanilla layer's weights.");
}

}  // namespace fastrnn::bindings

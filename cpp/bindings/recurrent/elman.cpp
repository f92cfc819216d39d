// The packed weights of the vanilla cell.
#include "kernels/recurrent/elman.hpp"

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {
namespace {

template <class S>
class PackedElman : public PackedCell<S, Elman<S>> {
   public:
    PackedElman(const Weights<S>& w, bool rectified) {
        this->parameters_ = w.parameters(1);
        this->cell_.rectified = rectified;
        this->pack(w);
    }

    const char* cell() const override { return "elman"; }

   private:
    void pack_backward() override {
        auto& w = this->cell_.weights;
        if constexpr (std::is_same_v<S, float>) {
            if (this->sizes_.narrow) {
                const auto take = [this](Index count) { return this->take(count); };
                w.w_ih_rows = take_row_panels(w.w_ih, w.D, w.H, take);
                w.w_hh_rows = take_row_panels(w.w_hh, w.H, w.H, take);
                return;
            }
        }
        S* ih = this->take(panels_size<S>(w.H, w.D));
        S* hh = this->take(panels_size<S>(w.H, w.H));
        repack_plain(w.w_ih.scalars, w.H, w.D, 0, w.H, ih);
        repack_plain(w.w_hh.scalars, w.H, w.H, 0, w.H, hh);
        w.w_ih_rows = ih;
        w.w_hh_rows = hh;
    }
};

template <class S>
py::object pack_elman(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool rectified,
                      const std::string& precision) {
    const Weights<S> weights(1, ih, hh, bias_ih, bias_hh, precision);
    return share<Packed<S>>(std::make_shared<PackedElman<S>>(weights, rectified));
}

}  // namespace

void register_elman(py::module_& m) {
    m.def(
        "elman_pack",
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, const std::string& nonlinearity,
           const std::string& precision) -> py::object {
            if (nonlinearity != "tanh" && nonlinearity != "relu")
                throw py::value_error("nonlinearity: expected 'tanh' or 'relu', got '" + nonlinearity + "'");
            const bool relu = nonlinearity == "relu";
            return (is_double(ih) ? pack_elman<double> : pack_elman<float>)(ih, hh, bias_ih, bias_hh, relu, precision);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("nonlinearity") = "tanh", py::arg("precision") = "float32",
        "Return a packed snapshot of one vanilla layer's weights.");
}

}  // namespace fastrnn::bindings

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
        this->parameters_ = w.parameters(3);
        this->pack(w);
    }

    const char* cell() const override { return "gru"; }

   private:
    void pack_backward() override {
        auto& w = this->cell_.weights;
        const Index D = w.D, H = w.H, depth = panel_gates * H;
        if constexpr (std::is_same_v<S, float>)
            if (this->sizes_.narrow) return pack_narrow_backward();
        S* ih = this->take(panels_size<S>(3 * H, D));
        S* hh = this->take(panels_size<S>(depth, H));
        for (Index gate = 0; gate < panel_gates; ++gate) {  // r, z, n; the gradients for x are in the order n, r, z
            repack_gate(w.w_ih.scalars, panel_gates, gate, H, D, (gate + 1) % 3 * H, 3 * H, ih);
            repack_gate(w.w_hh.scalars, panel_gates, gate, H, H, gate * H, depth, hh);
        }
        if (!reset_after) {
            S* hn = this->take(panels_size<S>(H, H));
            repack_plain(w.w_in.scalars, H, D, 0, 3 * H, ih);
            repack_plain(w.w_hn.scalars, H, H, 0, H, hn);
            w.w_hn_rows = hn;
        }
        w.w_ih_rows = ih;
        w.w_hh_rows = hh;
    }

    // Gradients of gates that multiply x are in the order n, r, z; h', r, z, n or r, z.
    void pack_narrow_backward() {
        auto& w = this->cell_.weights;
        const Index D = w.D, H = w.H, words = words_of(*this->sizes_.narrow, D);
        const auto take = [this](Index count) { return this->take(count); };
        w.w_hh_rows = take_row_panels(w.w_hh, H, panel_gates * H, take);
        if (reset_after) {
            w.w_ih_rows = take_row_panels(w.w_ih, D, 3 * H, take, [H](Index i) { return (i + 2 * H) % (3 * H); });
            return;
        }
        w.w_hn_rows = take_row_panels(w.w_hn, H, H, take);
        // The candidate's rows are a matrix of their own: both are brought together.
        auto* const rows = reinterpret_cast<std::uint32_t*>(this->take(3 * H * words));
        std::copy(w.w_in.rows, w.w_in.rows + H * words, rows);
        std::copy(w.w_ih.rows, w.w_ih.rows + 2 * H * words, rows + H * words);
        Panels<float> all = w.w_ih;
        all.rows = rows;
        w.w_ih_rows = take_row_panels(all, D, 3 * H, take);
    }
};

template <class S>
py::object pack_gru(py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after,
                    const std::string& precision) {
    const Weights<S> weights(3, ih, hh, bias_ih, bias_hh, precision);
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
        [](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, bool reset_after,
           const std::string& precision) {
            const auto pack = is_double(ih) ? pack_gru<double> : pack_gru<float>;
            return pack(ih, hh, bias_ih, bias_hh, reset_after, precision);
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("reset_after") = true, py::arg("precision") = "float32",
        "Return a packed snapshot of one GRU layer's weights.");
}

}  // namespace fastrnn::bindings

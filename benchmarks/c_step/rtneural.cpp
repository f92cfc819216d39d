// RTNeural's layers with sizes known at compile time, called directly: without the model around them, which copies
// inputs and outputs.
#include <RTNeural/RTNeural.h>

#include "stepper.hpp"

namespace {

// W [G*H, K] -> [K][G*H]; RTNeural's GRU has z before r.
std::vector<std::vector<float>> transposed(const std::vector<float>& w, const Weights& of, int K) {
    const int rows = of.gates * of.H;
    const std::vector<float> zeros(static_cast<std::size_t>(rows));
    std::vector<std::vector<float>> out(static_cast<std::size_t>(K), zeros);
    for (int row = 0; row < rows; ++row) {
        const int gate = row / of.H, from = of.gates == 3 && gate < 2 ? (1 - gate) * of.H + row % of.H : row;
        for (int k = 0; k < K; ++k) out[std::size_t(k)][std::size_t(row)] = w[std::size_t(from * K + k)];
    }
    return out;
}

template <class Layer>
class Rtneural : public Stepper {
   public:
    explicit Rtneural(const Weights& w) {
        layer_->setWVals(transposed(w.ih, w, w.D));
        layer_->setUVals(transposed(w.hh, w, w.H));
        auto bias = transposed(w.bias_ih, w, 1)[0], recurrent = transposed(w.bias_hh, w, 1)[0];
        if constexpr (requires { layer_->setBVals(std::vector<std::vector<float>>{}); }) {
            layer_->setBVals(std::vector<std::vector<float>>{bias, recurrent});
        } else {
            for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += recurrent[i];
            layer_->setBVals(bias);
        }
        layer_->reset();
    }

    void run(const float* x, int steps, float* y) override {
        Eigen::Matrix<float, Layer::in_size, 1> input;
        for (int t = 0; t < steps; ++t) {
            for (int i = 0; i < Layer::in_size; ++i) input(i) = *x++;
            layer_->forward(input);
        }
        for (int i = 0; i < Layer::out_size; ++i) y[i] = layer_->outs(i);
    }

   private:
    std::unique_ptr<Layer> layer_ = std::make_unique<Layer>();
};

template <int D, int H>
std::unique_ptr<Stepper> make(const Weights& w) {
    if (w.gates == 4) return std::make_unique<Rtneural<RTNeural::LSTMLayerT<float, D, H>>>(w);
    return std::make_unique<Rtneural<RTNeural::GRULayerT<float, D, H>>>(w);
}

}  // namespace

std::unique_ptr<Stepper> rtneural_steps(const Weights& w) {
    if (w.D == 1 && w.H == 16) return make<1, 16>(w);
    if (w.D == 1 && w.H == 40) return make<1, 40>(w);
    if (w.D == 16 && w.H == 64) return make<16, 64>(w);
    if (w.D == 64 && w.H == 128) return make<64, 128>(w);
    return nullptr;
}

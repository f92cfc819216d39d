// What is timed: one layer with its state, of either library.
#pragma once

#include <memory>
#include <vector>

// Weights in PyTorch's layout and order of gates.
struct Weights {
    int D, H, gates;  // gates: 3 GRU, 4 LSTM
    std::vector<float> ih, hh, bias_ih, bias_hh;
};

class Stepper {
   public:
    virtual ~Stepper() = default;
    // x [steps, D]; y [H] of the last step.
    virtual void run(const float* x, int steps, float* y) = 0;
};

std::unique_ptr<Stepper> fastrnn_steps(const Weights&);   // a call of fastrnn_step each
std::unique_ptr<Stepper> fastrnn_block(const Weights&);   // one call of fastrnn_run
std::unique_ptr<Stepper> rtneural_steps(const Weights&);  // null for sizes that are not compiled

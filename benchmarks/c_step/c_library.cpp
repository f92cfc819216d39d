// The C library's steps: one call each, or one call for all.
#include <cstdio>
#include <cstdlib>

#include "fastrnn.h"
#include "stepper.hpp"

namespace {

void check(fastrnn_status status) {
    if (status == FASTRNN_OK) return;
    std::fprintf(stderr, "%s\n", fastrnn_last_error());
    std::exit(1);
}

class CLibrary : public Stepper {
   public:
    CLibrary(const Weights& w, bool block) : D_(std::size_t(w.D)), H_(std::size_t(w.H)), block_(block) {
        const fastrnn_recurrent layer{w.gates == 4 ? FASTRNN_LSTM : FASTRNN_GRU,
                                      D_,
                                      H_,
                                      w.ih.data(),
                                      w.hh.data(),
                                      w.bias_ih.data(),
                                      w.bias_hh.data()};
        check(fastrnn_create_model(&model_));
        check(fastrnn_add_recurrent(model_, &layer));
        check(fastrnn_create_stream(model_, 1, &stream_));
    }
    ~CLibrary() override {
        fastrnn_close_stream(stream_);
        fastrnn_close_model(model_);
    }

    void run(const float* x, int steps, float* y) override {
        if (block_) {
            all_.resize(std::size_t(steps) * H_);
            check(fastrnn_run(stream_, std::size_t(steps), x, std::size_t(steps) * D_, all_.data(), all_.size()));
            std::copy(all_.end() - std::ptrdiff_t(H_), all_.end(), y);
            return;
        }
        for (int t = 0; t < steps; ++t, x += D_) check(fastrnn_step(stream_, x, D_, y, H_));
    }

   private:
    std::size_t D_, H_;
    bool block_;
    std::vector<float> all_;
    fastrnn_model* model_ = nullptr;
    fastrnn_stream* stream_ = nullptr;
};

}  // namespace

std::unique_ptr<Stepper> fastrnn_steps(const Weights& w) { return std::make_unique<CLibrary>(w, false); }
std::unique_ptr<Stepper> fastrnn_block(const Weights& w) { return std::make_unique<CLibrary>(w, true); }

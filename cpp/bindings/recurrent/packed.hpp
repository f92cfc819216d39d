// What the three cells share at the border: packed weights behind one interface, so that forward, backward and streams
// are written once.
#pragma once

#include <mutex>

#include "bindings/python/arrays.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/backward.hpp"
#include "kernels/recurrent/forward.hpp"

namespace fastrnn::bindings {

// An immutable packed snapshot of one layer's weights. Backward panels are made from it when first asked for.
template <class S>
class Panels {
   public:
    Panels(Index input_size, Index hidden_size) : D(input_size), H(hidden_size) {}
    virtual ~Panels() = default;
    Panels(const Panels&) = delete;
    Panels& operator=(const Panels&) = delete;

    virtual int gates() const = 0;
    virtual int states() const = 0;
    virtual Index gx_width() const = 0;
    virtual Index tape_width() const = 0;  // scalars of `gates` a step and row
    virtual Index dgates_width() const = 0;
    virtual bool needs_rh() const { return false; }
    virtual const char* cell() const = 0;

    virtual void forward(const ForwardProblem<S>&, const ForwardScratch<S>&, const Worker&) const = 0;
    virtual void backward(const BackwardProblem<S>&, const BackwardScratch<S>&, const Worker&) const = 0;

    void prepare_backward() {
        std::call_once(once_, [this] { pack_backward(); });
    }
    Index bytes() const { return bytes_; }

    const Index D, H;

   protected:
    virtual void pack_backward() = 0;

    S* storage(Index count) {
        pieces_.emplace_back(count * Index(sizeof(S)));
        bytes_ += count * Index(sizeof(S));
        return static_cast<S*>(pieces_.back().get());
    }

   private:
    std::vector<OwnedBlock> pieces_;
    Index bytes_ = 0;
    std::once_flag once_;
};

// Multiply-adds of one forward pass.
template <class S>
double forward_work(const Panels<S>& panels, const Batch& batch) {
    return double(batch.tokens()) * double(panels.gates()) * double(panels.H) * double(panels.D + panels.H);
}

// Multiply-adds of the recurrent product of one row at one step.
template <class S>
double step_work(const Panels<S>& panels) {
    return double(panels.gates()) * double(panels.H) * double(panels.H);
}

// How so many threads share `passes` forward passes' worth of work.
template <class S>
Split split_of(const Panels<S>& panels, const Batch& batch, int passes, int threads) {
    return choose_split<S>(batch, panels.H, passes * forward_work(panels, batch), step_work(panels), threads);
}

// The weights of one layer and direction as Python gives them.
template <class S>
struct Weights {
    Index D, H;
    const S *ih, *hh, *bias_ih, *bias_hh;

    Weights(Index gates, py::handle weight_ih, py::handle weight_hh, py::handle bias_ih, py::handle bias_hh) {
        const auto recurrent = expect<S>(weight_hh, "weight_hh", {{"G*H", any}, {"H", any}});
        H = recurrent.shape(1);
        if (H < 1 || recurrent.shape(0) != gates * H)
            throw py::value_error("weight_hh: expected [" + std::to_string(gates) + "*H, H], got " +
                                  describe(recurrent));
        const auto input = expect<S>(weight_ih, "weight_ih", {{"G*H", gates * H}, {"D", any}});
        D = input.shape(1);
        if (D < 1) throw py::value_error("weight_ih: expected [G*H, D] with D >= 1, got " + describe(input));
        ih = input.data();
        hh = recurrent.data();
        this->bias_ih = optional_data<S>(bias_ih, "bias_ih", {{"G*H", gates * H}});
        this->bias_hh = optional_data<S>(bias_hh, "bias_hh", {{"G*H", gates * H}});
    }

    S bias(Index i) const { return (bias_ih ? bias_ih[i] : S(0)) + (bias_hh ? bias_hh[i] : S(0)); }
};

}  // namespace fastrnn::bindings

// One interface to the packed weights of one layer and direction of any cell, so that forward, backward and streams are
// written once.
#pragma once

#include <cstring>
#include <mutex>

#include "bindings/python/arrays.hpp"
#include "bindings/python/precision.hpp"
#include "bindings/python/shared.hpp"
#include "bindings/python/thread_pool.hpp"
#include "bindings/python/weight_memory.hpp"
#include "kernels/matrix/packing.hpp"
#include "kernels/recurrent/backward_pass.hpp"
#include "kernels/recurrent/forward.hpp"
#include "kernels/recurrent/packed_weights.hpp"
#include "kernels/recurrent/step.hpp"

namespace fastrnn::bindings {

// A parameter of one layer and direction: the name and field of its gradient, and its shape (a vector if columns is 0).
// The parameter's own name is the gradient's without the "d".
template <class S>
struct Parameter {
    const char* gradient_name;
    S* ParameterGradients<S>::* gradient;
    Index rows, columns;
    py::str key;

    Parameter(const char* gradient_name_, S* ParameterGradients<S>::* gradient_, Index rows_, Index columns_)
        : gradient_name(gradient_name_), gradient(gradient_), rows(rows_), columns(columns_), key(gradient_name + 1) {}

    const char* name() const { return gradient_name + 1; }
    bool is_bias() const { return std::strncmp(name(), "bias", 4) == 0; }
};

// An immutable packed snapshot of one layer's weights. What only backward needs is packed on first use.
template <class S>
class Packed : public std::enable_shared_from_this<Packed<S>> {
   public:
    virtual ~Packed() = default;
    Packed(const Packed&) = delete;
    Packed& operator=(const Packed&) = delete;

    virtual const char* cell() const = 0;
    // What one thread does in a pass, or in one link of a wave; they run the functions of the same names in the
    // kernels.
    virtual void forward_pass(const ForwardProblem<S>&, const ForwardScratch<S>&, const Worker&) const = 0;
    virtual void backward_pass(const BackwardProblem<S>&, const BackwardScratch<S>&, const Worker&) const = 0;
    virtual void forward_link(const ForwardProblem<S>&, const ForwardScratch<S>&, const Worker&, Index) const = 0;
    virtual void backward_link(const BackwardProblem<S>&, const BackwardScratch<S>&, const Worker&, Index) const = 0;
    // A step of one sequence without a forward pass around it, and the scratch scalars it needs; less than 0: the cell
    // has none.
    virtual Index step_scratch() const = 0;
    virtual void single_step(const SingleStep<S>&) const = 0;

    void prepare_backward() {
        std::call_once(once_, [this] { pack_backward(); });
    }

    const CellSizes& sizes() const { return sizes_; }
    const std::vector<Parameter<S>>& parameters() const { return parameters_; }
    Index bytes() const { return memory_.bytes(); }
    const char* precision() const { return sizes_.narrow ? precision_name(*sizes_.narrow) : dtype_name<S>(); }

    // Multiply-adds of one forward pass.
    double forward_work(const RaggedBatch& batch) const {
        return double(batch.tokens()) *
               (double(sizes_.gates) * double(sizes_.H) * double(sizes_.D) + double(sizes_.recurrent_weights));
    }
    // How `threads` threads share the work of `passes` forward passes.
    Split split(const RaggedBatch& batch, int passes, int threads) const {
        return choose_split<S>(batch, sizes_.H, passes * forward_work(batch), double(sizes_.recurrent_weights),
                               threads);
    }

   protected:
    Packed() = default;
    virtual void pack_backward() = 0;
    S* take(Index count) { return memory_.template take<S>(count); }

    CellSizes sizes_;
    std::vector<Parameter<S>> parameters_;

   private:
    WeightMemory memory_;
    std::once_flag once_;
};

// Implements the interface with a cell of the kernels.
template <class S, class Cell>
class PackedCell : public Packed<S> {
   public:
    void forward_pass(const ForwardProblem<S>& p, const ForwardScratch<S>& s, const Worker& w) const override {
        fastrnn::forward_pass(cell_, p, s, w);
    }
    void backward_pass(const BackwardProblem<S>& p, const BackwardScratch<S>& s, const Worker& w) const override {
        fastrnn::backward_pass(cell_, p, s, w);
    }
    void forward_link(const ForwardProblem<S>& p, const ForwardScratch<S>& s, const Worker& w,
                      Index link) const override {
        fastrnn::forward_link(cell_, p, s, w, link);
    }
    void backward_link(const BackwardProblem<S>& p, const BackwardScratch<S>& s, const Worker& w,
                       Index link) const override {
        fastrnn::backward_link(cell_, p, s, w, link);
    }
    Index step_scratch() const override { return fastrnn::step_scratch(cell_); }
    void single_step(const SingleStep<S>& s) const override { fastrnn::single_step(cell_, s); }

   protected:
    void pack(const LayerWeights<S>& weights) {
        this->sizes_ = pack_weights(cell_, weights, [this](Index count) { return this->take(count); });
    }

    Cell cell_{};
};

// The weights of one layer and direction of a cell without options, as passed from Python.
template <class S>
struct Weights : LayerWeights<S> {
    using LayerWeights<S>::D, LayerWeights<S>::H;

    Weights(Index gates, py::handle weight_ih, py::handle weight_hh, py::handle given_bias_ih, py::handle given_bias_hh,
            const std::string& precision) {
        const auto recurrent = expect<S>(weight_hh, "weight_hh", {{"G*H", any}, {"H", any}});
        H = recurrent.shape(1);
        if (H < 1 || recurrent.shape(0) != gates * H)
            throw py::value_error("weight_hh: expected [" + std::to_string(gates) + "*H, H], got " +
                                  describe(recurrent));
        const auto input = expect<S>(weight_ih, "weight_ih", {{"G*H", gates * H}, {"D", any}});
        D = input.shape(1);
        if (D < 1) throw py::value_error("weight_ih: expected [G*H, D] with D >= 1, got " + describe(input));
        this->ih = input.data();
        this->hh = recurrent.data();
        this->bias_ih = optional_data<S>(given_bias_ih, "bias_ih", {{"G*H", gates * H}});
        this->bias_hh = optional_data<S>(given_bias_hh, "bias_hh", {{"G*H", gates * H}});
        this->narrow = expect_precision(precision, std::is_same_v<S, double>, std::max(D, H));
    }

    std::vector<Parameter<S>> parameters(Index gates) const {
        using Gradients = ParameterGradients<S>;
        return {{"dweight_ih", &Gradients::weight_ih, gates * H, D},
                {"dweight_hh", &Gradients::weight_hh, gates * H, H},
                {"dbias_ih", &Gradients::bias_ih, gates * H, 0},
                {"dbias_hh", &Gradients::bias_hh, gates * H, 0}};
    }
};

// A cell all of whose gates lie interleaved in panels, and whose gate gradients multiply x and h' alike: LSTM, sLSTM.
template <class S, class Cell>
class PackedGates : public PackedCell<S, Cell> {
   public:
    PackedGates(const Weights<S>& w, const char* name) : name_(name) {
        this->parameters_ = w.parameters(G);
        this->pack(w);
    }

    const char* cell() const override { return name_; }

   private:
    static constexpr Index G = Cell::gates;

    void pack_backward() override {
        auto& w = this->cell_.weights;
        const Index D = w.D, H = w.H, depth = G * H;
        if constexpr (std::is_same_v<S, float>) {
            if (this->sizes_.narrow) {
                const auto take = [this](Index count) { return this->take(count); };
                w.w_ih_rows = take_row_panels(w.w_ih, D, depth, take);
                w.w_hh_rows = take_row_panels(w.w_hh, H, depth, take);
                return;
            }
        }
        S* ih = this->take(panels_size<S>(depth, D));
        S* hh = this->take(panels_size<S>(depth, H));
        for (Index gate = 0; gate < G; ++gate) {
            repack_gate(w.w_ih.scalars, G, gate, H, D, gate * H, depth, ih);
            repack_gate(w.w_hh.scalars, G, gate, H, H, gate * H, depth, hh);
        }
        w.w_ih_rows = ih;
        w.w_hh_rows = hh;
    }

    const char* name_;
};

// Binds `function`, named after the cell: packs its four arrays of weights.
template <template <class> class Cell>
void register_gates(py::module_& m, const char* function, const char* name, const char* doc) {
    m.def(
        function,
        [name](py::object ih, py::object hh, py::object bias_ih, py::object bias_hh, const std::string& precision) {
            const auto pack = [&](auto scalar) {
                using S = decltype(scalar);
                const Weights<S> weights(Cell<S>::gates, ih, hh, bias_ih, bias_hh, precision);
                return share<Packed<S>>(std::make_shared<PackedGates<S, Cell<S>>>(weights, name));
            };
            return is_double(ih) ? pack(double()) : pack(float());
        },
        py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih"), py::arg("bias_hh"),
        py::arg("precision") = "float32", doc);
}

}  // namespace fastrnn::bindings

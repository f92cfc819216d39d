// The packed layers of a network: shared by its streams, never changed.
#pragma once

#include <memory>
#include <vector>

#include "c/interface/engine.hpp"
#include "kernels/recurrent/packed_weights.hpp"
#include "kernels/recurrent/step.hpp"

namespace fastrnn::c {

// Arrays of floats that are freed together.
class Memory {
   public:
    float* take(Index count) {
        constexpr const char *what = "memory", *advice = "";
        pieces_.push_back(allocate_aligned<float>(count, what, advice));
        return pieces_.back().get();
    }
    // A copy of `count` floats, or zeros if there are none.
    const float* copy(const float* from, Index count) {
        float* const to = take(count);
        if (from)
            std::copy(from, from + count, to);
        else
            std::fill(to, to + count, 0.0f);
        return to;
    }

   private:
    std::vector<std::unique_ptr<float[], AlignedDelete>> pieces_;
};

// One recurrent layer, of any cell.
class Layer {
   public:
    virtual ~Layer() = default;
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;

    // Runs the one step of the problem.
    virtual void step(const ForwardProblem<float>&, const ForwardScratch<float>&) const = 0;
    // The same for one sequence, with scratch memory of so many floats; less than 0: the cell has no such step.
    virtual void single_step(const SingleStep<float>&) const = 0;
    virtual Index step_scratch() const = 0;

    const CellSizes& sizes() const { return sizes_; }
    const float* initial_h() const { return initial_h_; }  // [P]
    const float* initial_c() const { return initial_c_; }  // [carried]

   protected:
    Layer() = default;
    void keep_initial_state(const RecurrentLayer& given) {
        initial_h_ = memory_.copy(given.initial_h, sizes_.P);
        initial_c_ = memory_.copy(given.initial_c, sizes_.carried);
    }

    CellSizes sizes_;
    Memory memory_;

   private:
    const float *initial_h_ = nullptr, *initial_c_ = nullptr;
};

template <class CellType>
class LayerOf : public Layer {
   public:
    explicit LayerOf(const RecurrentLayer& given) {
        if constexpr (std::is_same_v<CellType, Elman<float>>) cell_.rectified = given.rectified;
        const LayerWeights<float> weights{Index(given.D),  Index(given.H), given.weight_ih,
                                          given.weight_hh, given.bias_ih,  given.bias_hh};
        sizes_ = pack_weights(cell_, weights, [this](Index count) { return memory_.take(count); });
        keep_initial_state(given);
    }

    void step(const ForwardProblem<float>& problem, const ForwardScratch<float>& scratch) const override {
        forward_pass(cell_, problem, scratch, Worker{});
    }

    void single_step(const SingleStep<float>& step) const override { fastrnn::single_step(cell_, step); }
    Index step_scratch() const override { return fastrnn::step_scratch(cell_); }

   private:
    CellType cell_{};
};

inline std::unique_ptr<Layer> make_layer(const RecurrentLayer& given) {
    switch (given.cell) {
        case Cell::elman:
            return std::make_unique<LayerOf<Elman<float>>>(given);
        case Cell::gru_after:
            return std::make_unique<LayerOf<GruResetAfter<float>>>(given);
        case Cell::gru_before:
            return std::make_unique<LayerOf<GruResetBefore<float>>>(given);
        case Cell::slstm:
            return std::make_unique<LayerOf<Slstm<float>>>(given);
        case Cell::lstm:
            break;
    }
    return std::make_unique<LayerOf<Lstm<float>>>(given);
}

// A node with its weights as the kernels read them.
struct PackedNode {
    Operation operation;
    std::size_t from, other;
    Index inputs, outputs;
    ActivationKind activation;
    std::unique_ptr<Layer> layer;
    Memory memory;
    const float *weight = nullptr, *bias = nullptr;  // linear: panels, padded; embedding: the table

    explicit PackedNode(const Node& node)
        : operation(node.operation),
          from(node.from),
          other(node.other),
          inputs(Index(node.inputs)),
          outputs(Index(node.outputs)),
          activation(node.activation) {
        if (operation == Operation::recurrent) layer = make_layer(node.recurrent);
        if (operation == Operation::embedding) weight = memory.copy(node.weight, inputs * outputs);
        if (operation != Operation::linear) return;
        float* const panels = memory.take(panels_size<float>(inputs, outputs));
        float* const padded = memory.take(round_up_to_lanes<float>(outputs));
        pack_transposed(node.weight, outputs, inputs, panels);
        for (Index i = 0; i < round_up_to_lanes<float>(outputs); ++i)
            padded[i] = node.bias && i < outputs ? node.bias[i] : 0.0f;
        weight = panels, bias = padded;
    }
};

struct Network {
    std::vector<std::unique_ptr<PackedNode>> nodes;
};

}  // namespace fastrnn::c

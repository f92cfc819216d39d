// Sequences side by side that run through a network one step at a time: their state, and the values between its nodes.
#pragma once

#include <cmath>
#include <numeric>

#include "c/engine/layers.hpp"
#include "kernels/dense/embedding.hpp"

namespace fastrnn::c {

// The state of one recurrent layer, and its forward pass of one step.
class LayerState {
   public:
    LayerState(const Layer& layer, const RaggedBatch& batch, Memory& memory, Workspace& workspace)
        : layer_(layer),
          N_(batch.N),
          P_(layer.sizes().P),
          C_(layer.sizes().carried),
          h_(memory.take(N_ * P_)),
          next_(memory.take(N_ * P_)),
          c_(memory.take(N_ * C_)),
          single_(N_ == 1 && layer.step_scratch() >= 0),
          step_scratch_(memory.take(single_ ? layer.step_scratch() : 0)),
          problem_(make_problem(batch)),
          scratch_(problem_, 1, workspace) {}
    LayerState(const LayerState&) = delete;
    LayerState& operator=(const LayerState&) = delete;

    // Returns h [N, P].
    const float* step(const float* x, const std::int64_t* ids) {
        if (single_)
            layer_.single_step({x, ids ? Index(*ids) : -1, h_, next_, c_, c_, step_scratch_, last_first_});
        else
            step_rows(x, ids);
        std::swap(h_, next_);
        last_first_ = !last_first_;  // what a step read last is still near
        return h_;
    }

    Index size() const { return N_ * (P_ + C_); }

    void reset() {
        for (Index n = 0; n < N_; ++n) {
            std::copy(layer_.initial_h(), layer_.initial_h() + P_, h_ + n * P_);
            std::copy(layer_.initial_c(), layer_.initial_c() + C_, c_ + n * C_);
        }
    }
    void get(float* state) const { std::copy(c_, c_ + N_ * C_, std::copy(h_, h_ + N_ * P_, state)); }
    void set(const float* state) {
        std::copy(state, state + N_ * P_, h_);
        std::copy(state + N_ * P_, state + size(), c_);
    }

   private:
    void step_rows(const float* x, const std::int64_t* ids) {
        problem_.input.x = x;
        problem_.input.ids = ids;
        problem_.initial.h = problem_.restart.h = h_;
        problem_.arrays.y = next_;
        layer_.step(problem_, scratch_);
    }

    ForwardProblem<float> make_problem(const RaggedBatch& batch) {
        ForwardProblem<float> problem{};
        problem.batch = batch;
        problem.sizes = layer_.sizes();
        problem.input.D = problem.sizes.D;
        problem.interrupt = &never_;
        if (C_) problem.arrays.c = c_, problem.initial.c = problem.restart.c = c_;
        return problem;
    }

    const Layer& layer_;
    const Index N_, P_, C_;
    float *h_, *next_, *c_;
    const bool single_;  // is there a step for one sequence?
    float* const step_scratch_;
    bool last_first_ = false;
    Interrupt never_;
    ForwardProblem<float> problem_;
    const ForwardScratch<float> scratch_;
};

struct Stream {
   public:
    Stream(const Network& network, Index batch)
        : network_(network),
          N_(batch),
          order_(std::size_t(batch)),
          ones_(std::size_t(batch), 1),
          x_rows_(std::size_t(batch)),
          y_rows_(std::size_t(batch)),
          values_(network.nodes.size() + 1),
          own_(network.nodes.size()),
          layers_(network.nodes.size()) {
        std::iota(order_.begin(), order_.end(), Index(0));
        const RaggedBatch rows{1, N_, false, order_.data(), ones_.data(), nullptr};
        for (std::size_t k = 0; k < network.nodes.size(); ++k) {
            const PackedNode& node = *network.nodes[k];
            if (node.layer)
                layers_[k] = std::make_unique<LayerState>(*node.layer, rows, memory_, workspace_);
            else
                own_[k] = memory_.take(N_ * node.outputs);
        }
        reset();
    }

    void run(Index steps, const float* x, const std::int64_t* ids, float* y) {
        const PackedNode &first = *network_.nodes.front(), &last = *network_.nodes.back();
        const FlushDenormals flush;
        for (Index t = 0; t < steps; ++t, y += N_ * last.outputs) {
            step(x, ids, y);
            x = x ? x + N_ * first.inputs : nullptr;
            ids = ids ? ids + N_ : nullptr;
        }
    }

    template <class F>
    void for_layers(F&& f) const {
        for (const auto& layer : layers_)
            if (layer) f(*layer);
    }
    void reset() {
        for_layers([](LayerState& layer) { layer.reset(); });
    }

   private:
    // The last node writes to y itself.
    void step(const float* x, const std::int64_t* ids, float* y) {
        values_[0] = x;
        const std::size_t last = network_.nodes.size() - 1;
        for (std::size_t k = 0; k <= last; ++k) {
            const PackedNode& node = *network_.nodes[k];
            if (node.layer) {
                values_[k + 1] = layers_[k]->step(values_[node.from], node.from == 0 ? ids : nullptr);
                if (k == last) std::copy(values_[k + 1], values_[k + 1] + N_ * node.outputs, y);
                continue;
            }
            float* const to = k == last ? y : own_[k];
            run_node(node, ids, to);
            values_[k + 1] = to;
        }
    }

    void run_node(const PackedNode& node, const std::int64_t* ids, float* to) {
        const float* const from = values_[node.from];
        switch (node.operation) {
            case Operation::embedding:
                return embedding_forward(ids, node.weight, N_, node.outputs, to);
            case Operation::linear:
                return multiply(node, from, to);
            case Operation::activation:
                return activate(node.activation, from, N_, node.outputs, to);
            case Operation::add:
                return add(from, values_[node.other], N_ * node.outputs, to);
            case Operation::concatenate:
                return concatenate(node, from, to);
            case Operation::recurrent:
                return;  // has a state, see step
        }
    }

    void multiply(const PackedNode& node, const float* from, float* to) {
        for (Index n = 0; n < N_; ++n) {
            x_rows_[std::size_t(n)] = from + n * node.inputs;
            y_rows_[std::size_t(n)] = to + n * node.outputs;
        }
        multiply_panels(
            Product<float>{x_rows_.data(), y_rows_.data(), node.weight, node.bias, node.inputs, node.outputs}, 0, N_);
    }

    void concatenate(const PackedNode& node, const float* from, float* to) const {
        const Index rest = node.outputs - node.inputs;
        const float* other = values_[node.other];
        for (Index n = 0; n < N_; ++n, from += node.inputs, other += rest)
            to = std::copy(other, other + rest, std::copy(from, from + node.inputs, to));
    }

    // These two with denormals, as the Python package applies them to arrays.
    static void add(const float* from, const float* other, Index count, float* to) {
        const KeepDenormals keep;
        for (Index i = 0; i < count; ++i) to[i] = from[i] + other[i];
    }
    static void activate(ActivationKind kind, const float* from, Index rows, Index width, float* to) {
        const KeepDenormals keep;
        const Index count = rows * width;
        const auto each = [&](auto&& f) {
            for (Index i = 0; i < count; i += lanes<float>)
                store_first(to + i, f(load_first(from + i, count - i)), count - i);
        };
        switch (kind) {
            case ActivationKind::tanh:
                return each([](Vec<float> v) { return tanh(v); });
            case ActivationKind::sigmoid:
                return each([](Vec<float> v) { return sigmoid(v); });
            case ActivationKind::relu:
                return each([](Vec<float> v) { return relu(v); });
            case ActivationKind::hard_sigmoid:
                return each([](Vec<float> v) { return min(max(v * set(0.2f) + set(0.5f), set(0.0f)), set(1.0f)); });
            case ActivationKind::softmax:
            case ActivationKind::log_softmax:
                for (Index n = 0; n < rows; ++n) softmax_row(kind, from + n * width, width, to + n * width);
                return;
        }
    }

    static void softmax_row(ActivationKind kind, const float* from, Index width, float* to) {
        const float most = *std::max_element(from, from + width);
        for (Index i = 0; i < width; i += lanes<float>)
            store_first(to + i, exp_or_zero(load_first(from + i, width - i) - set(most)), width - i);
        const float sum = std::accumulate(to, to + width, 0.0f);
        if (kind == ActivationKind::softmax) {
            for (Index i = 0; i < width; ++i) to[i] /= sum;
            return;
        }
        const float log_sum = std::log(sum);
        for (Index i = 0; i < width; ++i) to[i] = from[i] - most - log_sum;
    }

    const Network& network_;
    const Index N_;
    std::vector<Index> order_, ones_;
    std::vector<const float*> x_rows_;
    std::vector<float*> y_rows_;
    std::vector<const float*> values_;  // [nodes + 1] of the current step
    std::vector<float*> own_;           // [nodes] memory of the nodes without a state
    Memory memory_;
    Workspace workspace_;
    std::vector<std::unique_ptr<LayerState>> layers_;  // [nodes], null where the node is no layer
};

}  // namespace fastrnn::c

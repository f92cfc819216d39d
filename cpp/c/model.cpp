// Building a network: widths that fit, and sizes that do not overflow.
#include "c/model.hpp"

#include <string_view>

#include "c/failure.hpp"

namespace fastrnn::c {
namespace {

// Of a weight matrix, padding included: far below where a product of sizes overflows.
constexpr std::size_t most_width = std::size_t(1) << (sizeof(std::size_t) > 4 ? 40 : 26);

std::size_t product(std::size_t a, std::size_t b) {
    constexpr std::size_t padding = 64;
    if (a > most_width || b > most_width || (a + padding) > most_width / (b + padding))
        fail_memory(std::to_string(a) + " by " + std::to_string(b) + " weights");
    return a * b;
}

std::size_t gates(const RecurrentLayer& layer) {
    switch (layer.cell) {
        case Cell::elman:
            return 1;
        case Cell::gru_after:
        case Cell::gru_before:
            return 3;
        default:
            return 4;
    }
}

}  // namespace

void Model::append(const Node& node, std::size_t parameters) {
    widths_.push_back(node.outputs);
    if (!engine_->add(network_, node)) {
        widths_.pop_back();
        fail_memory("packed weights");
    }
    parameters_ += parameters;
    end_ = widths_.size() - 1;
}

// What comes next reads `inputs` numbers; if it is the first, ids or floats.
void Model::begin(std::size_t inputs, bool ids, bool floats) {
    if (inputs < 1) fail_argument("input_size: expected 1 or more, got 0");
    if (is_empty()) {
        widths_[0] = inputs, reads_ids_ = ids, reads_floats_ = floats;
        return;
    }
    if (ids && !floats) fail_argument("embedding: expected as the first layer");
    if (inputs != width())
        fail_argument("input_size: expected " + std::to_string(width()) + ", the output of the layer before, got " +
                      std::to_string(inputs));
}

void Model::add_embedding(std::size_t count, std::size_t width, const float* weight) {
    if (width < 1) fail_argument("width: expected 1 or more, got 0");
    begin(count, true, false);
    Node node;
    node.from = end_;
    node.operation = Operation::embedding;
    node.inputs = count, node.outputs = width;
    node.weight = weight;
    append(node, product(count, width));
}

void Model::add_recurrent(const RecurrentLayer& layer) {
    if (layer.H < 1) fail_argument("hidden_size: expected 1 or more, got 0");
    begin(layer.D, true, true);
    Node node;
    node.from = end_;
    node.operation = Operation::recurrent;
    node.inputs = layer.D, node.outputs = layer.H;
    node.recurrent = layer;
    const std::size_t G = gates(layer), biases = (layer.bias_ih ? 1u : 0u) + (layer.bias_hh ? 1u : 0u);
    append(node, product(G * product(layer.H, 1), layer.D) + product(G * layer.H, layer.H) + G * layer.H * biases);
}

void Model::add_linear(std::size_t inputs, std::size_t outputs, const float* weight, const float* bias) {
    if (outputs < 1) fail_argument("outputs: expected 1 or more, got 0");
    begin(inputs, false, true);
    Node node;
    node.from = end_;
    node.operation = Operation::linear;
    node.inputs = inputs, node.outputs = outputs;
    node.weight = weight, node.bias = bias;
    append(node, product(inputs, outputs) + (bias ? outputs : 0));
}

void Model::add_activation(ActivationKind kind) {
    if (is_empty()) fail_argument("activation: expected after a layer, got as the first");
    Node node;
    node.from = end_;
    node.operation = Operation::activation;
    node.inputs = node.outputs = width();
    node.activation = kind;
    append(node, 0);
}

void Model::add_value(std::size_t value) {
    Node node;
    node.from = end_;
    node.operation = Operation::add;
    node.other = value;
    node.inputs = node.outputs = width();
    append(node, 0);
}

void Model::concatenate_before(std::size_t value) {
    Node node;
    node.operation = Operation::concatenate;
    node.from = value, node.other = end_;
    node.inputs = widths_[value];
    node.outputs = width() + widths_[value];
    append(node, 0);
}

fastrnn_model_info Model::info() const {
    fastrnn_model_info info{};
    info.input_size = widths_.front(), info.output_size = width();
    info.state_size = engine_->state_size(network_);
    info.parameters = parameters_;
    info.vocabulary_size = symbols.size();
    info.symbols_are_words = symbols_are_words;
    info.start = start, info.eos = eos;
    info.reads_floats = reads_floats_, info.reads_ids = reads_ids_;
    return info;
}

}  // namespace fastrnn::c

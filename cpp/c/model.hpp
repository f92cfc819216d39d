// A model: a network of an engine, what is known of it, and the text that came with it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "c/engines.hpp"
#include "c/fastrnn.h"

namespace fastrnn::c {

class Model {
   public:
    Model() : engine_(&engine()) {
        network_ = engine_->make_network();
        if (!network_) throw std::bad_alloc();
    }
    ~Model() { engine_->delete_network(network_); }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    // --- building: each adds to the value at which the network ends; a Failure leaves it as it was ---

    void add_embedding(std::size_t count, std::size_t width, const float* weight);
    void add_recurrent(const RecurrentLayer& layer);
    void add_linear(std::size_t inputs, std::size_t outputs, const float* weight, const float* bias);
    void add_activation(ActivationKind kind);
    // The end's value becomes its sum with an earlier value, or is followed by one.
    void add_value(std::size_t value);
    void concatenate_before(std::size_t value);

    std::size_t end() const { return end_; }  // the number of the value at which the network ends
    std::size_t width() const { return widths_.back(); }
    bool is_empty() const { return end_ == 0; }
    void read_no_ids() { reads_ids_ = false; }
    void read_no_floats() { reads_floats_ = false; }

    // --- what it is ---

    fastrnn_model_info info() const;
    const Engine& own_engine() const { return *engine_; }
    const Network* network() const { return network_; }
    std::size_t input_size() const { return widths_.front(); }

    std::vector<std::string> symbols;
    bool symbols_are_words = false;
    std::string metadata;
    std::int64_t start = FASTRNN_NONE, eos = FASTRNN_NONE;

    std::mutex building;  // of a model that is built from arrays
    std::atomic<bool> is_complete{false};

   private:
    void append(const Node& node, std::size_t parameters);
    void begin(std::size_t inputs, bool ids, bool floats);

    const Engine* engine_;
    Network* network_;
    std::vector<std::size_t> widths_{0};  // of the values; of the input 0 until it is known
    std::size_t end_ = 0, parameters_ = 0;
    bool reads_ids_ = false, reads_floats_ = false;
};

// Opens a model from the bytes of a file. Fails with FASTRNN_ERROR_FORMAT or FASTRNN_ERROR_UNSUPPORTED.
std::unique_ptr<Model> open_model(std::string_view content);

}  // namespace fastrnn::c

// The tables of models and streams that are open.
#pragma once

#include "c/failure.hpp"
#include "c/handles.hpp"
#include "c/model.hpp"

namespace fastrnn::c {

// Sequences that run through a model, with what a step checks.
class OpenStream {
   public:
    OpenStream(std::shared_ptr<const Model> model, std::size_t batch);
    ~OpenStream() { engine.delete_stream(native); }
    OpenStream(const OpenStream&) = delete;
    OpenStream& operator=(const OpenStream&) = delete;

    const std::shared_ptr<const Model> model;
    const Engine& engine;
    const std::size_t batch, inputs, outputs, state;  // numbers of elements, of all sequences
    const std::int64_t ids;                           // how many there are
    const bool reads_ids, reads_floats;
    Stream* const native;
};

Handles<std::shared_ptr<Model>>& models();

// Each fails with FASTRNN_ERROR_HANDLE if the handle is not open.
std::shared_ptr<Model> shared_model(const fastrnn_model* handle);
fastrnn_model* new_handle(std::unique_ptr<Model> model);
void close_model(const fastrnn_model* handle);

}  // namespace fastrnn::c

// The functions of fastrnn.h that open, build and describe models.
#include "c/errors.hpp"
#include "c/handle_tables.hpp"
#include "c/tensor_file.hpp"

using namespace fastrnn::c;

namespace {

void expect_pointer(const void* pointer, const char* name) {
    if (!pointer) fail_argument(std::string(name) + ": expected an address, got NULL");
}

// A model that is being built, for one thread at a time.
class Building {
   public:
    explicit Building(const fastrnn_model* handle)
        : model_(shared_model(handle)), lock_(model_->building, std::try_to_lock) {
        if (!lock_) throw Failure{FASTRNN_ERROR_BUSY, "model: another thread is adding to it"};
        if (model_->is_complete)
            fail_argument("model: expected one that fastrnn_create_model made and that has no stream yet");
    }
    Model* operator->() const { return model_.get(); }

   private:
    std::shared_ptr<Model> model_;
    std::unique_lock<std::mutex> lock_;
};

void open(std::string_view content, fastrnn_model** model) { *model = new_handle(open_model(content)); }

Cell cell_of(fastrnn_cell cell) {
    switch (cell) {
        case FASTRNN_RNN_TANH:
        case FASTRNN_RNN_RELU:
            return Cell::elman;
        case FASTRNN_GRU:
            return Cell::gru_after;
        case FASTRNN_GRU_RESET_BEFORE:
            return Cell::gru_before;
        case FASTRNN_LSTM:
            return Cell::lstm;
    }
    fail_argument("cell: expected a fastrnn_cell, got " + std::to_string(int(cell)));
}

}  // namespace

const char* fastrnn_last_error(void) { return last_error(); }

const char* fastrnn_version(void) { return FASTRNN_VERSION; }

const char* fastrnn_isa(void) {
    const char* name = nullptr;
    guarded([&] { name = engine().name; });
    return name;
}

fastrnn_status fastrnn_open(const char* path, fastrnn_model** model) {
    return guarded([&] {
        expect_pointer(path, "path");
        expect_pointer(model, "model");
        const std::string content = read_file(path);
        try {
            open(content, model);
        } catch (Failure& failure) {
            if (failure.status != FASTRNN_ERROR_CPU) failure.message = shown_path(path) + ": " + failure.message;
            throw;
        }
    });
}

fastrnn_status fastrnn_open_memory(const void* data, size_t size, fastrnn_model** model) {
    return guarded([&] {
        expect_pointer(data, "data");
        expect_pointer(model, "model");
        open({static_cast<const char*>(data), size}, model);
    });
}

fastrnn_status fastrnn_create_model(fastrnn_model** model) {
    return guarded([&] {
        expect_pointer(model, "model");
        *model = new_handle(std::make_unique<Model>());
    });
}

fastrnn_status fastrnn_close_model(fastrnn_model* model) {
    return guarded([&] { close_model(model); });
}

fastrnn_status fastrnn_describe(const fastrnn_model* handle, fastrnn_model_info* info) {
    return guarded([&] {
        const auto model = shared_model(handle);
        expect_pointer(info, "info");
        const std::lock_guard<std::mutex> lock(model->building);
        if (model->is_empty()) fail_argument("model: expected one with layers, got one without");
        *info = model->info();
    });
}

fastrnn_status fastrnn_symbol(const fastrnn_model* handle, int64_t id, const char** text, size_t* length) {
    return guarded([&] {
        const auto model = shared_model(handle);
        expect_pointer(text, "text");
        if (model->symbols.empty()) fail_argument("model: expected one with a vocabulary, got one without");
        if (id < 0 || id >= int64_t(model->symbols.size()))
            fail_argument("id: expected 0 .. " + std::to_string(model->symbols.size() - 1) + ", got " +
                          std::to_string(id));
        const std::string& symbol = model->symbols[std::size_t(id)];
        *text = symbol.c_str();
        if (length) *length = symbol.size();
    });
}

fastrnn_status fastrnn_metadata(const fastrnn_model* handle, const char** json, size_t* length) {
    return guarded([&] {
        const auto model = shared_model(handle);
        expect_pointer(json, "json");
        *json = model->metadata.c_str();
        if (length) *length = model->metadata.size();
    });
}

fastrnn_status fastrnn_add_embedding(fastrnn_model* model, size_t count, size_t width, const float* weight) {
    return guarded([&] {
        const Building building(model);
        expect_pointer(weight, "weight");
        building->add_embedding(count, width, weight);
    });
}

fastrnn_status fastrnn_add_recurrent(fastrnn_model* model, const fastrnn_recurrent* given) {
    return guarded([&] {
        const Building building(model);
        expect_pointer(given, "layer");
        expect_pointer(given->weight_ih, "weight_ih");
        expect_pointer(given->weight_hh, "weight_hh");
        RecurrentLayer layer;
        layer.cell = cell_of(given->cell);
        layer.rectified = given->cell == FASTRNN_RNN_RELU;
        layer.D = given->input_size, layer.H = given->hidden_size;
        layer.weight_ih = given->weight_ih, layer.weight_hh = given->weight_hh;
        layer.bias_ih = given->bias_ih, layer.bias_hh = given->bias_hh;
        building->add_recurrent(layer);
    });
}

fastrnn_status fastrnn_add_linear(fastrnn_model* model, size_t inputs, size_t outputs, const float* weight,
                                  const float* bias) {
    return guarded([&] {
        const Building building(model);
        expect_pointer(weight, "weight");
        building->add_linear(inputs, outputs, weight, bias);
    });
}

fastrnn_status fastrnn_add_activation(fastrnn_model* model, fastrnn_activation activation) {
    return guarded([&] {
        const Building building(model);
        if (int(activation) < 0 || activation > FASTRNN_LOG_SOFTMAX)
            fail_argument("activation: expected a fastrnn_activation, got " + std::to_string(int(activation)));
        building->add_activation(ActivationKind(int(activation)));
    });
}

// The description of a recurrent layer in a file, as `describe` of the Python package writes it.
#pragma once

#include <string>

#include "c/interface/engine.hpp"
#include "c/json.hpp"

namespace fastrnn::c {

// Checks the field `precision` of a layer or a model, if there is one: what it was trained in. This library computes in
// float32. Fails with FASTRNN_ERROR_FORMAT.
void check_precision(const Json& fields, const std::string& name);

struct LayerDescription {
    Cell cell = Cell::lstm;
    bool rectified = false, bias = true, learns_state = false;
    std::size_t input_size = 0, hidden_size = 0, num_layers = 1, gates = 4;

    // Fails with FASTRNN_ERROR_FORMAT, or, if an option is not in this library, FASTRNN_ERROR_UNSUPPORTED; messages
    // begin with `name`.
    LayerDescription(const Json& fields, const std::string& name);
    // From the settings of a language model; `input_size` is that of its layers.
    static LayerDescription of_settings(const Json& config, std::size_t input_size);

    std::size_t output_size() const { return hidden_size; }
    std::size_t carried() const { return cell == Cell::lstm ? hidden_size : cell == Cell::slstm ? 3 * hidden_size : 0; }

   private:
    LayerDescription() = default;
    void set_cell(std::string_view kind, const std::string& name);
    void read_option(std::string_view option, const Json& value, const std::string& name);
    void finish(const std::string& name);

    bool reset_after_ = true;
    std::string nonlinearity_ = "tanh";
};

}  // namespace fastrnn::c

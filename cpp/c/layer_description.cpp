// Reading the description of a recurrent layer: sizes, and what options mean for a step.
#include "c/layer_description.hpp"

#include "c/failure.hpp"

namespace fastrnn::c {
namespace {

constexpr std::size_t most_layers = 10000;

// Does the value leave the cell as it is without the option?
bool is_off(std::string_view option, const Json& value) {
    switch (value.kind()) {
        case Json::Kind::null:
            return true;
        case Json::Kind::boolean:
            return !value.as_flag("");
        case Json::Kind::number:
            return value.as_number("") == 0;
        case Json::Kind::array: {
            bool off = true;
            value.for_each([&](std::string_view, const Json& one) { off = off && is_off(option, one); });
            return off;
        }
        case Json::Kind::string: {
            const std::string_view text = value.as_text("");
            return text == (option == "merge" ? "concat" : option == "gate_activation" ? "sigmoid" : "tanh");
        }
        default:
            return false;
    }
}

// Options that change training alone, or only how a call's arrays lie. (The Python package runs a GRU with one of the
// dropouts by another kernel, whose results are equal to rounding.)
bool is_of_training(std::string_view option) {
    for (const std::string_view known : {"dropout", "batch_first", "input_dropout", "state_dropout", "output_dropout",
                                         "recurrent_dropout", "weight_drop"})
        if (option == known) return true;
    return false;
}

}  // namespace

void check_precision(const Json& fields, const std::string& name) {
    const Json value = fields.get("precision");
    if (!value.exists()) return;
    const std::string_view precision = value.as_text(name + ".precision");
    if (precision != "float32" && precision != "bfloat16")
        fail_format(name + ".precision: expected float32 or bfloat16, got " + printable(precision));
}

LayerDescription::LayerDescription(const Json& fields, const std::string& name) {
    set_cell(fields.as_object(name).get("kind").as_text(name + ".kind"), name);
    check_precision(fields, name);
    input_size = fields.get("input_size").as_size(name + ".input_size");
    hidden_size = fields.get("hidden_size").as_size(name + ".hidden_size");
    fields.for_each([&](std::string_view field, const Json& value) {
        for (const std::string_view known : {"kind", "name", "input_size", "hidden_size", "precision"})
            if (field == known) return;
        read_option(field, value, name);
    });
    finish(name);
}

LayerDescription LayerDescription::of_settings(const Json& config, std::size_t input_size) {
    LayerDescription layer;
    const auto given = [&](const char* name) {
        const Json value = config.get(name);
        return value.is_null() ? Json() : value;
    };
    const Json cell = given("cell"), size = given("hidden_size"), count = given("num_layers");
    std::string kind(cell.exists() ? cell.as_text("cell") : "lstm");
    for (char& c : kind) c = c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
    layer.set_cell(kind, "cell");
    layer.input_size = input_size;
    layer.hidden_size = size.exists() ? size.as_size("hidden_size") : 256;
    layer.num_layers = 2;
    if (count.exists()) layer.read_option("num_layers", count, "model");
    if (const Json value = given("reset_after"); value.exists()) layer.reset_after_ = value.as_flag("reset_after");
    if (const Json value = given("nonlinearity"); value.exists()) layer.nonlinearity_ = value.as_text("nonlinearity");
    if (const Json options = given("cell_options"); options.exists())
        options.as_object("cell_options").for_each([&](std::string_view option, const Json& value) {
            layer.read_option(option, value, "cell_options");
        });
    layer.finish("model");
    return layer;
}

void LayerDescription::set_cell(std::string_view kind, const std::string& name) {
    if (kind == "LSTM")
        cell = Cell::lstm, gates = 4;
    else if (kind == "GRU")
        cell = Cell::gru_after, gates = 3;
    else if (kind == "RNN")
        cell = Cell::elman, gates = 1;
    else if (kind == "SLSTM")
        cell = Cell::slstm, gates = 4;
    else
        fail_unsupported(name + ": a layer of the kind " + printable(kind) + " is not in this library");
}

void LayerDescription::read_option(std::string_view option, const Json& value, const std::string& name) {
    const std::string field = name + "." + printable(option);
    if (option == "num_layers") {
        num_layers = value.as_size(field);
        if (num_layers > most_layers) fail_format(field + ": expected at most 10000 layers");
    } else if (option == "bias") {
        bias = value.as_flag(field);
    } else if (option == "learn_state") {
        learns_state = value.as_flag(field);
    } else if (option == "reset_after" && cell == Cell::gru_after) {
        reset_after_ = value.as_flag(field);
    } else if (option == "nonlinearity" && cell == Cell::elman) {
        nonlinearity_ = value.as_text(field);
    } else if (option == "dtype") {
        if (value.as_text(field) != "float32")
            fail_unsupported(field + ": this library computes in float32, got " + printable(value.as_text(field)));
    } else if (is_of_training(option)) {
        return;
    } else if (!is_off(option, value)) {
        fail_unsupported(field + " is not in this library");
    }
}

void LayerDescription::finish(const std::string& name) {
    if (cell == Cell::gru_after && !reset_after_) cell = Cell::gru_before;
    if (cell != Cell::elman) return;
    if (nonlinearity_ != "tanh" && nonlinearity_ != "relu")
        fail_unsupported(name + ".nonlinearity: " + printable(nonlinearity_) + " is not in this library");
    rectified = nonlinearity_ == "relu";
}

}  // namespace fastrnn::c

// From a file's description and tensors to a model: networks of `fr.Sequential`, and language models.
#include <initializer_list>

#include "c/failure.hpp"
#include "c/layer_description.hpp"
#include "c/model.hpp"
#include "c/tensor_file.hpp"

namespace fastrnn::c {
namespace {

using Floats = std::vector<float>;

void refuse_unknown(const Json& fields, const std::string& name, std::initializer_list<std::string_view> known) {
    fields.as_object(name).for_each([&](std::string_view field, const Json&) {
        for (const std::string_view one : known)
            if (field == one) return;
        fail_format(name + ": unknown " + printable(field));
    });
}

ActivationKind activation_kind(std::string_view function, const std::string& name) {
    constexpr std::string_view names[] = {"tanh", "relu", "sigmoid", "hard_sigmoid", "softmax", "log_softmax"};
    for (int kind = 0; kind < 6; ++kind)
        if (function == names[kind]) return ActivationKind(kind);
    fail_unsupported(name + ": the activation " + printable(function) + " is not in this library");
}

// Adds layers to a model, with the tensors of a file; prefixes end with a dot.
class Reader {
   public:
    Reader(TensorFile& file, Model& model) : file_(file), model_(model) {}

    void embedding(const std::string& prefix, std::size_t count, std::size_t width) {
        file_.read(prefix + "weight", {count, width}, weight_);
        model_.add_embedding(count, width, weight_.data());
    }

    void linear(const std::string& prefix, std::size_t inputs, std::size_t outputs, bool has_bias) {
        file_.read(prefix + "weight", {outputs, inputs}, weight_);
        if (has_bias) file_.read(prefix + "bias", {outputs}, bias_);
        model_.add_linear(inputs, outputs, weight_.data(), has_bias ? bias_.data() : nullptr);
    }

    // The logits of a language model.
    void output(std::size_t inputs, std::size_t count, bool tied) {
        file_.read(tied ? "embedding.weight" : "output.weight", {count, inputs}, weight_, tied);
        file_.read("output.bias", {count}, bias_);
        model_.add_linear(inputs, count, weight_.data(), bias_.data());
    }

    void head(const Json& fields, const std::string& prefix, const std::string& name) {
        const bool bias = fields.get("bias").as_flag(name + ".bias");
        const std::string_view activation = fields.get("activation").as_text(name + ".activation");
        if (activation != "tanh" && activation != "relu") fail_format(name + ".activation: expected tanh or relu");
        std::size_t inputs = fields.get("in_features").as_size(name + ".in_features"), index = 0;
        fields.get("hidden_sizes").as_array(name + ".hidden_sizes").for_each([&](std::string_view, const Json& size) {
            const std::size_t outputs = size.as_size(name + ".hidden_sizes");
            linear(prefix + "hidden" + std::to_string(index++) + ".", inputs, outputs, bias);
            model_.add_activation(activation == "tanh" ? ActivationKind::tanh : ActivationKind::relu);
            inputs = outputs;
        });
        linear(prefix + "output.", inputs, fields.get("out_features").as_size(name + ".out_features"), bias);
    }

    // A recurrent layer of any kind, or a Stack.
    void recurrent(const Json& fields, const std::string& prefix, const std::string& name) {
        if (fields.get("kind").as_text(name + ".kind") == "Stack")
            stack(fields, prefix, name);
        else
            layers(LayerDescription(fields, name), prefix);
    }

    // All layers of one description.
    void layers(const LayerDescription& description, const std::string& prefix) {
        const std::size_t P = description.output_size(), H = description.hidden_size, C = description.carried();
        Floats first_h, first_c;
        if (description.learns_state) {
            file_.read(prefix + "initial_h", {description.num_layers, P}, first_h);
            if (C) file_.read(prefix + "initial_c", {description.num_layers, C}, first_c);
            for (std::size_t i = 0; description.cell == Cell::slstm && i < first_c.size(); ++i)
                if (i % C / H == 1 && first_c[i] < 0)
                    first_c[i] = -first_c[i];  // of c, n, m: n counts by its magnitude
        }
        for (std::size_t index = 0; index < description.num_layers; ++index) {
            RecurrentLayer layer;
            layer.cell = description.cell, layer.rectified = description.rectified;
            layer.D = index ? P : description.input_size, layer.H = H;
            const std::size_t rows = description.gates * H;
            const std::string suffix = "_l" + std::to_string(index);
            const auto read = [&](const char* of, std::vector<std::size_t> shape, Floats& values) {
                file_.read(prefix + of + suffix, shape, values);
                return values.data();
            };
            layer.weight_ih = read("weight_ih", {rows, layer.D}, weight_);
            layer.weight_hh = read("weight_hh", {rows, P}, recurrent_);
            if (description.bias) {
                layer.bias_ih = read("bias_ih", {rows}, bias_);
                layer.bias_hh = read("bias_hh", {rows}, recurrent_bias_);
            }
            if (!first_h.empty()) layer.initial_h = first_h.data() + index * P;
            if (!first_c.empty()) layer.initial_c = first_c.data() + index * C;
            model_.add_recurrent(layer);
        }
    }

   private:
    // Like fastrnn.Stack: each layer reads the one below, plain; residual adds what it read; dense layers read the
    // input and all layers below.
    void stack(const Json& fields, const std::string& prefix, const std::string& name) {
        refuse_unknown(fields, name, {"name", "kind", "layers", "connect", "dropout"});
        const Json connect = fields.get("connect");
        const std::string_view how = connect.exists() ? connect.as_text(name + ".connect") : "plain";
        if (how != "plain" && how != "residual" && how != "dense") fail_format(name + ".connect: unknown");
        std::size_t read = model_.end(), index = 0;
        const bool begins = model_.is_empty();
        fields.get("layers").as_array(name + ".layers").for_each([&](std::string_view, const Json& layer) {
            const std::string number = std::to_string(index);
            if (index > 0 && how == "dense") model_.concatenate_before(read);
            read = model_.end();
            layers(LayerDescription(layer, name + ".layers[" + number + "]"), prefix + "layer" + number + ".");
            if (index == 0 && begins && how == "dense") model_.read_no_ids();
            if (index > 0 && how == "residual") model_.add_value(read);
            ++index;
        });
        if (index == 0) fail_format(name + ".layers: expected at least one, got none");
    }

    TensorFile& file_;
    Model& model_;
    Floats weight_, recurrent_, bias_, recurrent_bias_;
};

void read_part(Reader& reader, Model& model, const Json& part, const std::string& name) {
    const std::string_view kind = part.as_object(name).get("kind").as_text(name + ".kind");
    const std::string prefix = std::string(part.get("name").as_text(name + ".name")) + ".";
    check_precision(part, name);
    const auto size = [&](const char* field) { return part.get(field).as_size(name + "." + field); };
    if (kind == "Embedding") {
        refuse_unknown(part, name, {"name", "kind", "num_embeddings", "embedding_dim"});
        reader.embedding(prefix, size("num_embeddings"), size("embedding_dim"));
    } else if (kind == "Linear") {
        refuse_unknown(part, name, {"name", "kind", "in_features", "out_features", "bias", "precision"});
        reader.linear(prefix, size("in_features"), size("out_features"), part.get("bias").as_flag(name + ".bias"));
    } else if (kind == "Head") {
        refuse_unknown(part, name,
                       {"name", "kind", "in_features", "hidden_sizes", "out_features", "activation", "dropout", "bias",
                        "precision"});
        reader.head(part, prefix, name);
    } else if (kind == "Activation") {
        refuse_unknown(part, name, {"name", "kind", "function"});
        model.add_activation(activation_kind(part.get("function").as_text(name + ".function"), name));
    } else {
        reader.recurrent(part, prefix, name);
    }
}

void read_network(Reader& reader, Model& model, const Json& description) {
    constexpr std::size_t most_parts = 10000;
    std::size_t index = 0;
    const Json parts = description.get("parts").as_array("parts");
    if (parts.size() > most_parts) fail_format("parts: expected at most 10000, got " + std::to_string(parts.size()));
    parts.for_each([&](std::string_view, const Json& part) {
        read_part(reader, model, part, "parts[" + std::to_string(index++) + "]");
    });
    if (index == 0) fail_format("parts: expected at least one, got none");
}

// A setting, or missing where it is null.
Json setting(const Json& config, const char* name) {
    const Json value = config.get(name);
    return value.is_null() ? Json() : value;
}

std::int64_t id_setting(const Json& config, const char* name, std::int64_t least, std::size_t count) {
    const Json value = setting(config, name);
    if (!value.exists()) return FASTRNN_NONE;
    const std::int64_t id = value.as_integer(name);
    if (id < least || id >= std::int64_t(count)) fail_format(std::string(name) + ": out of range");
    return id;
}

void read_vocabulary(Model& model, const Json& vocabulary, std::size_t count) {
    const Json symbols = vocabulary.get("symbols");
    if (symbols.as_array("vocabulary.symbols").size() != count)
        fail_format("the vocabulary has " + std::to_string(symbols.size()) + " symbols, the model " +
                    std::to_string(count));
    model.symbols_are_words = vocabulary.get("level").as_text("vocabulary.level") == "word";
    model.symbols.reserve(count);
    symbols.for_each([&](std::string_view, const Json& symbol) {
        model.symbols.emplace_back(symbol.as_text("vocabulary.symbols"));
    });
}

void read_language_model(Reader& reader, Model& model, const Json& description) {
    const Json config = description.get("model").as_object("model");
    refuse_unknown(config, "model",
                   {"vocabulary_size",
                    "cell",
                    "hidden_size",
                    "num_layers",
                    "embedding_size",
                    "dropout",
                    "dtype",
                    "reset_after",
                    "nonlinearity",
                    "cell_options",
                    "rnn",
                    "tied",
                    "locked_dropout",
                    "embedding_dropout",
                    "sparse_embedding",
                    "ar",
                    "tar",
                    "cutoffs",
                    "length_model",
                    "max_length",
                    "start",
                    "eos",
                    "head",
                    "precision"});
    check_precision(config, "model");
    if (setting(config, "cutoffs").exists()) fail_unsupported("model: the adaptive softmax is not in this library");
    if (setting(config, "length_model").exists()) fail_unsupported("model: a length_model is not in this library");
    const std::size_t V = config.get("vocabulary_size").as_size("vocabulary_size");
    read_vocabulary(model, description.get("vocabulary").as_object("vocabulary"), V);
    model.start = id_setting(config, "start", -1, V), model.eos = id_setting(config, "eos", 0, V);
    const Json embedding = setting(config, "embedding_size"), given = setting(config, "rnn");
    const std::size_t E = embedding.exists() ? embedding.as_size("embedding_size") : V;
    if (embedding.exists()) reader.embedding("embedding.", V, E);
    if (given.exists())
        reader.recurrent(given, "rnn.", "model.rnn");
    else
        reader.layers(LayerDescription::of_settings(config, E), "rnn.");
    model.read_no_floats();
    if (const Json head = setting(config, "head"); head.exists()) reader.head(head, "head.", "model.head");
    const Json tied = setting(config, "tied");
    reader.output(model.width(), V, tied.exists() && tied.as_flag("tied"));
}

// The weights of a quantized model lie on the grid of a precision. Here they are widened: all is computed in float32.
void read_quantized(TensorFile& file, const Json& description) {
    const std::string_view precision = description.get("quantized").as_text("quantized");
    if (precision == "int8")
        file.allow_int8();
    else if (precision != "bfloat16")
        fail_format("quantized: expected bfloat16 or int8, got " + printable(precision));
}

void read_model(TensorFile& file, Model& model) {
    const Json description = file.description().as_object("fastrnn part of the header");
    const std::int64_t version = description.get("format_version").as_integer("format_version");
    if (version != 1 && version != 2)
        fail_unsupported("format version " + std::to_string(version) + "; this library reads 1 and 2");
    if (version == 2) read_quantized(file, description);
    Reader reader(file, model);
    const Json kind = description.get("kind");
    if (!kind.exists() || kind.as_text("kind") == "LanguageModel") {
        read_language_model(reader, model, description);
        file.expect_all_read("training.");
    } else if (kind.as_text("kind") == "Sequential") {
        read_network(reader, model, description);
        file.expect_all_read("");
    } else {
        fail_unsupported("a model of the kind " + printable(kind.as_text("kind")) + " is not in this library");
    }
}

}  // namespace

std::unique_ptr<Model> open_model(std::string_view content) {
    TensorFile file(content);
    auto model = std::make_unique<Model>();
    try {
        read_model(file, *model);
    } catch (Failure& failure) {
        // The arguments of a layer came from the file.
        if (failure.status == FASTRNN_ERROR_ARGUMENT) failure.status = FASTRNN_ERROR_FORMAT;
        throw;
    }
    model->metadata = file.description_text();
    model->is_complete = true;
    return model;
}

}  // namespace fastrnn::c

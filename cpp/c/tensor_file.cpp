// Reading a safetensors file (https://huggingface.co/docs/safetensors), 8 bytes with the header's length, the header as
// JSON, the data. Nothing is believed: every size is checked against the bytes that are there.
#include "c/tensor_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "c/failure.hpp"

#if defined(_WIN32)
#include <sys/stat.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace fastrnn::c {
namespace {

constexpr std::size_t largest_header = 100000000;  // bytes; the limit of the format itself
constexpr std::size_t most_dimensions = 8;

std::uint32_t word(const unsigned char* bytes, int count) {
    std::uint32_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[i];
    return value;
}

float as_float(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// IEEE half precision, exactly.
float half_to_float(std::uint32_t half) {
    const std::uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;
    if (exponent == 0x1F) return as_float(sign | 0x7F800000u | fraction << 13);
    if (exponent > 0) return as_float(sign | (exponent + 112) << 23 | fraction << 13);
    const float tiny = std::ldexp(float(fraction), -24);
    return sign ? -tiny : tiny;
}

// Bytes of an element of a dtype; 0 if it is none that fastrnn writes.
std::size_t dtype_size(std::string_view dtype) {
    for (const std::string_view known : {"F64", "I64", "U64"})
        if (dtype == known) return 8;
    for (const std::string_view known : {"F32", "I32", "U32"})
        if (dtype == known) return 4;
    for (const std::string_view known : {"F16", "BF16", "I16", "U16"})
        if (dtype == known) return 2;
    for (const std::string_view known : {"BOOL", "I8", "U8"})
        if (dtype == known) return 1;
    return 0;
}

std::string describe(std::string_view dtype, const std::vector<std::size_t>& shape) {
    std::string text = printable(dtype) + " [";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

#if !defined(_WIN32)
// A descriptor that is closed with it.
struct Descriptor {
    int number;
    explicit Descriptor(const char* path) : number(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) {}
    ~Descriptor() {
        if (number >= 0) close(number);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};
#endif

[[noreturn]] void fail_file(const char* path, const std::string& reason) {
    throw Failure{FASTRNN_ERROR_FILE, shown_path(path) + ": " + reason};
}

}  // namespace

#if defined(_WIN32)
std::string read_file(const char* path) {
    std::FILE* const file = std::fopen(path, "rb");
    if (!file) fail_file(path, "cannot be opened");
    std::string content;
    char block[1 << 16];
    while (const std::size_t got = std::fread(block, 1, sizeof block, file)) content.append(block, got);
    const bool failed = std::ferror(file) != 0;
    std::fclose(file);
    if (failed) fail_file(path, "cannot be read");
    return content;
}
#else
std::string read_file(const char* path) {
    const Descriptor file(path);  // without waiting for a pipe or a device
    struct stat status;
    if (file.number < 0 || fstat(file.number, &status) != 0) fail_file(path, std::strerror(errno));
    if (!S_ISREG(status.st_mode)) fail_file(path, "not a regular file");
    std::string content(std::size_t(status.st_size), '\0');
    for (std::size_t have = 0; have < content.size();) {
        const ssize_t got = ::read(file.number, content.data() + have, content.size() - have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail_file(path, std::strerror(errno));
        if (got == 0) fail_file(path, "has become shorter while it was read");
        have += std::size_t(got);
    }
    return content;
}
#endif

TensorFile::TensorFile(std::string_view content) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(content.data());
    if (content.size() < 8) fail_format("not a safetensors file: no header");
    const std::size_t length = word(bytes, 4);
    if (word(bytes + 4, 4) != 0 || length > largest_header)
        fail_format("not a safetensors file: a header of more than 100000000 bytes");
    if (length > content.size() - 8)
        fail_format("truncated: a header of " + std::to_string(length) + " bytes in a file of " +
                    std::to_string(content.size()));
    data_ = content.substr(8 + length);
    header_ = std::make_unique<JsonDocument>(content.substr(8, length), "header");
    const Json root = header_->root().as_object("header");
    const Json text = root.get("__metadata__").get("fastrnn");
    if (text.kind() != Json::Kind::string) fail_format("not a model of fastrnn: its header has no fastrnn part");
    description_text_ = text.as_text("fastrnn");
    description_ = std::make_unique<JsonDocument>(description_text_, "fastrnn part of the header");
    root.for_each([&](std::string_view name, const Json& value) {
        if (name != "__metadata__") add_tensor(name, value);
    });
    check_places();
    std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
}

void TensorFile::add_tensor(std::string_view name, const Json& value) {
    const std::string shown = printable(name);
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = value.as_object(shown).get("dtype").as_text(shown + ": dtype");
    std::size_t size = dtype_size(tensor.dtype);
    if (size == 0) fail_format(shown + ": unknown dtype " + printable(tensor.dtype));
    const Json shape = value.get("shape").as_array(shown + ": shape");
    if (shape.size() > most_dimensions) fail_format(shown + ": too many dimensions");
    shape.for_each([&](std::string_view, const Json& side) {
        tensor.shape.push_back(side.as_size(shown + ": shape", 0));
        if (tensor.shape.back() > 0 && size > data_.size() / tensor.shape.back())
            fail_format(shown + ": larger than the file");
        size *= tensor.shape.back();
    });
    const Json offsets = value.get("data_offsets").as_array(shown + ": data_offsets");
    if (offsets.size() != 2) fail_format(shown + ": data_offsets: expected two numbers");
    std::size_t places[2], i = 0;
    offsets.for_each(
        [&](std::string_view, const Json& place) { places[i++] = place.as_size(shown + ": data_offsets", 0); });
    tensor.begin = places[0], tensor.end = places[1];
    if (tensor.begin > tensor.end || tensor.end > data_.size() || tensor.end - tensor.begin != size)
        fail_format(shown + ": data_offsets do not fit its shape and the file");
    tensors_.push_back(std::move(tensor));
}

// The tensors must fill the data, without holes and without sharing bytes.
void TensorFile::check_places() const {
    std::vector<std::pair<std::size_t, std::size_t>> places;
    for (const Tensor& tensor : tensors_) places.emplace_back(tensor.begin, tensor.end);
    std::sort(places.begin(), places.end());
    std::size_t end = 0;
    for (const auto& [first, last] : places) {
        if (first != end) fail_format("damaged: tensors overlap, or leave a hole");
        end = last;
    }
    if (end != data_.size()) fail_format("truncated or damaged: the tensors do not fill the file");
}

TensorFile::Tensor* TensorFile::find(std::string_view name) {
    const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                     [](const Tensor& tensor, std::string_view key) { return tensor.name < key; });
    return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

void TensorFile::read(std::string_view name, const std::vector<std::size_t>& shape, std::vector<float>& values,
                      bool shared) {
    const std::string shown = printable(name);
    Tensor* const tensor = find(name);
    if (!tensor) fail_format(shown + ": expected " + describe("F32", shape) + ", got no such tensor");
    if (tensor->dtype == "F64")
        fail_unsupported(shown +
                         ": this library computes in float32, got float64; make the model with dtype=\"float32\"");
    const bool is_int8 = tensor->dtype == "I8" && allows_int8_ && shape.size() == 2;
    const bool known = tensor->dtype == "F32" || tensor->dtype == "F16" || tensor->dtype == "BF16" || is_int8;
    if (!known || tensor->shape != shape)
        fail_format(shown + ": expected " + describe("F32", shape) + ", got " + describe(tensor->dtype, tensor->shape));
    if (tensor->read && !shared) fail_format(shown + ": expected in one layer, got in several");
    tensor->read = true;
    if (is_int8)
        read_int8(*tensor, values, shared);
    else
        read_floats(*tensor, values);
    for (const float value : values)
        if (!std::isfinite(value)) fail_format(shown + ": has values that are not finite");
}

void TensorFile::read_floats(const Tensor& tensor, std::vector<float>& values) const {
    const int width = int(dtype_size(tensor.dtype));
    const auto* bytes = reinterpret_cast<const unsigned char*>(data_.data()) + tensor.begin;
    values.resize((tensor.end - tensor.begin) / std::size_t(width));
    for (float& value : values) {
        const std::uint32_t bits = word(bytes, width);
        value = tensor.dtype == "F32"    ? as_float(bits)
                : tensor.dtype == "BF16" ? as_float(bits << 16)
                                         : half_to_float(bits);
        bytes += width;
    }
}

// q times the scale of its row: 7 significant bits times 16, so that the product is exact.
void TensorFile::read_int8(const Tensor& tensor, std::vector<float>& values, bool shared) {
    const std::string shown = printable(tensor.name), name = std::string(tensor.name) + ".scale";
    const Tensor* const stored = find(name);
    if (stored && stored->dtype != "F32")
        fail_format(shown + ".scale: expected F32, got " + describe(stored->dtype, stored->shape));
    const std::size_t rows = tensor.shape[0], columns = tensor.shape[1];
    std::vector<float> scales;
    read(name, {rows}, scales, shared);
    const char* bytes = data_.data() + tensor.begin;
    values.clear();
    values.reserve(rows * columns);
    for (const float scale : scales) {
        if (scale < 0) fail_format(shown + ".scale: expected scales of at least 0");
        for (std::size_t k = 0; k < columns; ++k) {
            const auto q = static_cast<signed char>(*bytes++);
            if (q == -128) fail_format(shown + ": expected integers in -127 .. 127, got -128");
            values.push_back(float(q) * scale);
        }
    }
}

void TensorFile::expect_all_read(std::string_view ignored) const {
    for (const Tensor& tensor : tensors_)
        if (!tensor.read && (ignored.empty() || tensor.name.substr(0, ignored.size()) != ignored))
            fail_format(printable(tensor.name) + ": not a parameter of this model");
}

}  // namespace fastrnn::c

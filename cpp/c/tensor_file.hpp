// A safetensors file in memory: its description, and its tensors by name.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "c/json.hpp"

namespace fastrnn::c {

// The bytes of a regular file. Fails with FASTRNN_ERROR_FILE.
std::string read_file(const char* path);

class TensorFile {
   public:
    // Checks the whole header; fails with FASTRNN_ERROR_FORMAT. `content` must outlive it.
    explicit TensorFile(std::string_view content);

    // fastrnn's part of the header, and its text.
    Json description() const { return description_->root(); }
    std::string_view description_text() const { return description_text_; }

    // From now on a tensor may be I8 [rows, columns], if there is NAME.scale, F32 [rows], with it.
    void allow_int8() { allows_int8_ = true; }

    // Copies a tensor of this shape to `values`, as float32; float16, bfloat16 and int8 times its scale are widened,
    // which is exact. Fails if there is none, if it has another shape or dtype, if one of its values is not finite, or
    // if it has been read before and is not `shared`: a small file must not become a large model.
    void read(std::string_view name, const std::vector<std::size_t>& shape, std::vector<float>& values,
              bool shared = false);

    // Fails if a tensor has not been read, except those whose names begin with `ignored`.
    void expect_all_read(std::string_view ignored) const;

   private:
    struct Tensor {
        std::string_view name, dtype;
        std::vector<std::size_t> shape;
        std::size_t begin = 0, end = 0;  // in the data
        bool read = false;
    };

    void add_tensor(std::string_view name, const Json& value);
    void check_places() const;
    Tensor* find(std::string_view name);
    void read_floats(const Tensor& tensor, std::vector<float>& values) const;
    void read_int8(const Tensor& tensor, std::vector<float>& values, bool shared);

    std::unique_ptr<JsonDocument> header_, description_;
    std::string_view description_text_, data_;
    std::vector<Tensor> tensors_;  // by name
    bool allows_int8_ = false;
};

}  // namespace fastrnn::c

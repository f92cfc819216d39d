// Errors inside of the library: thrown while a model is opened or built, never in a step.
#pragma once

#include <string>
#include <string_view>

#include "c/fastrnn.h"
#include "c/utf8.hpp"

namespace fastrnn::c {

struct Failure {
    fastrnn_status status;
    std::string message;
};

// Text from a file, for a message: of bounded length, with '?' for what must not reach a terminal or has no shape.
inline std::string printable(std::string_view text) {
    constexpr std::size_t most = 80;
    std::string shown;
    while (!text.empty()) {
        if (shown.size() > most) return shown + "...";
        const std::size_t length = utf8_length(text);
        const bool visible = length > 0 && is_visible(utf8_code(text, length));
        shown += visible ? text.substr(0, length) : "?";
        text.remove_prefix(length ? length : 1);
    }
    return shown;
}

// A path, for a message: of a long one its end, from a whole character on, so that the reason after it is not lost.
inline std::string shown_path(std::string_view path) {
    constexpr std::size_t most = 500;
    if (path.size() <= most) return std::string(path);
    path.remove_prefix(path.size() - most);
    while (!path.empty() && (static_cast<unsigned char>(path.front()) & 0xC0) == 0x80) path.remove_prefix(1);
    return "..." + std::string(path);
}

[[noreturn]] inline void fail_argument(std::string message) {
    throw Failure{FASTRNN_ERROR_ARGUMENT, std::move(message)};
}
[[noreturn]] inline void fail_format(std::string message) { throw Failure{FASTRNN_ERROR_FORMAT, std::move(message)}; }
[[noreturn]] inline void fail_unsupported(std::string message) {
    throw Failure{FASTRNN_ERROR_UNSUPPORTED, std::move(message)};
}
[[noreturn]] inline void fail_memory(std::string what) {
    throw Failure{FASTRNN_ERROR_MEMORY, what + ": not enough memory"};
}

}  // namespace fastrnn::c

// Errors inside of the library: thrown while a model is opened or built, never in a step.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "c/fastrnn.h"

namespace fastrnn::c {

struct Failure {
    fastrnn_status status;
    std::string message;
};

// Text from a file, for a message: of bounded length, with '?' for what must not reach a terminal.
inline std::string printable(std::string_view text) {
    constexpr std::size_t most = 80;
    std::string shown(text.substr(0, most));
    for (char& c : shown)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    if (text.size() <= most) return shown;
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xC0) == 0x80) shown.pop_back();
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0x80) shown.pop_back();
    return shown + "...";
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

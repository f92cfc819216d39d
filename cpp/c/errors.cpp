// Where each thread keeps its last error.
#include "c/errors.hpp"

#include <cstring>

// A pointer has a place in every thread from the start, so that a step in real time can set it; the memory for copied
// messages may be allocated at its first use.
#if defined(__GNUC__) && defined(__ELF__)
#define FASTRNN_FROM_THE_START __attribute__((tls_model("initial-exec")))
#else
#define FASTRNN_FROM_THE_START
#endif

namespace fastrnn::c {
namespace {

thread_local const char* last FASTRNN_FROM_THE_START = "";
thread_local char copied[1024];

}  // namespace

const char* last_error() { return last; }

fastrnn_status fail_with(fastrnn_status status, const char* message) {
    last = message;
    return status;
}

fastrnn_status fail_copying(fastrnn_status status, const char* message) {
    const std::size_t length = std::strlen(message), most = sizeof copied - 1;
    std::memcpy(copied, message, length < most ? length : most);
    copied[length < most ? length : most] = '\0';
    last = copied;
    return status;
}

}  // namespace fastrnn::c

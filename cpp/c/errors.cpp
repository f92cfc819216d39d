// Where each thread keeps its last error.
#include "c/errors.hpp"

#include <cstring>
#include <memory>

// A thread has its place for messages of calls in real time from the start. That place is small, because all libraries
// that a program loads while it runs, such as an audio host's plug-ins, share about 1.5 kB of such memory; longer
// messages are copied to the heap.
#if defined(__GNUC__) && defined(__ELF__)
#define FASTRNN_FROM_THE_START __attribute__((tls_model("initial-exec")))
#else
#define FASTRNN_FROM_THE_START
#endif

namespace fastrnn::c {
namespace {

constexpr std::size_t brief_size = 160, longest = 1024;
thread_local const char* last FASTRNN_FROM_THE_START = "";
thread_local char brief[brief_size] FASTRNN_FROM_THE_START;

struct Copy {
    std::unique_ptr<char[]> text;
    ~Copy() { last = ""; }
};
thread_local Copy copied;

}  // namespace

const char* last_error() { return last; }

Text brief_message() {
    last = brief;
    return {brief, brief_size};
}

fastrnn_status fail_with(fastrnn_status status, const char* message) {
    last = message;
    return status;
}

fastrnn_status fail_copying(fastrnn_status status, const char* message) {
    if (!copied.text) copied.text.reset(new (std::nothrow) char[longest]);
    if (!copied.text) return fail_with(status, "not enough memory for the message");
    Text(copied.text.get(), longest) << message;
    return fail_with(status, copied.text.get());
}

}  // namespace fastrnn::c

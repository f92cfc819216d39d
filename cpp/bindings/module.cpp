// The compiled module of one instruction set.
#include "bindings/python/pybind11.hpp"
#include "bindings/python/thread_pool.hpp"
#include "kernels/runtime/workspace.hpp"

// One name for each file of bindings: its function register_<name>.
#define FASTRNN_BINDINGS(EACH) \
    EACH(activations)          \
    EACH(precision)            \
    EACH(recurrent)            \
    EACH(elman)                \
    EACH(gru)                  \
    EACH(lstm)                 \
    EACH(slstm)                \
    EACH(sparse_reservoir)     \
    EACH(stream)               \
    EACH(variant)              \
    EACH(linear)               \
    EACH(embedding)            \
    EACH(kept)                 \
    EACH(dropout_mask)         \
    EACH(softmax)              \
    EACH(logistic)             \
    EACH(regression)           \
    EACH(attention)            \
    EACH(crf)                  \
    EACH(ctc)                  \
    EACH(optimizers)

#define FASTRNN_DECLARE(name) void register_##name(pybind11::module_& m);
#define FASTRNN_CALL(name) fastrnn::bindings::register_##name(m);

namespace fastrnn::bindings {
FASTRNN_BINDINGS(FASTRNN_DECLARE)
}  // namespace fastrnn::bindings

namespace fb = fastrnn::bindings;

PYBIND11_MODULE(FASTRNN_MODULE, m, pybind11::mod_gil_not_used()) {
    m.doc() = "fastrnn's kernels for the instruction set " FASTRNN_ISA_NAME ". Imported by fastrnn._dispatch only.";
    m.attr("isa") = FASTRNN_ISA_NAME;
    m.def("get_num_threads", &fb::get_num_threads, "Return the number of threads that a kernel may use.");
    m.def(
        "set_num_threads",
        [](int threads) {
            if (threads < 1) throw pybind11::value_error("threads: expected 1 or more, got " + std::to_string(threads));
            fb::set_num_threads(threads);
        },
        pybind11::arg("threads"), "Set the number of threads that a kernel may use.");
    m.def(
        "thread_counters",
        [] {
            pybind11::dict counts;
            fb::thread_counters().each(
                [&](const char* name, std::uint64_t count) { counts[name] = pybind11::int_(count); });
            return counts;
        },
        "Return what happened to calls on several threads since the process began.");
    m.def("meeting_time", &fb::meeting_time, pybind11::arg("threads"), pybind11::arg("meetings"), pybind11::arg("work"),
          "Return the seconds that a meeting takes of threads that each work that many seconds.");
    // Small pieces of memory, such as lists of rows, do not say what they are for.
    pybind11::register_local_exception_translator([](std::exception_ptr error) {
        try {
            std::rethrow_exception(error);
        } catch (const fastrnn::OutOfMemory&) {
            throw;
        } catch (const std::bad_alloc&) {
            pybind11::set_error(PyExc_MemoryError, (std::string("out of memory; ") + fastrnn::fewer_tokens).c_str());
        }
    });
    FASTRNN_BINDINGS(FASTRNN_CALL)
}

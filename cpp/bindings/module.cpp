// The compiled module of one instruction set.
#include "bindings/python/register.hpp"
#include "bindings/python/thread_pool.hpp"

namespace fb = fastrnn::bindings;

PYBIND11_MODULE(FASTRNN_MODULE, m, pybind11::mod_gil_not_used()) {
    m.doc() = "fastrnn's kernels for the instruction set " FASTRNN_ISA_NAME ". Reached through fastrnn._dispatch only.";
    m.attr("isa") = FASTRNN_ISA_NAME;
    m.def("get_num_threads", &fb::get_num_threads, "Threads that a kernel may use.");
    m.def(
        "set_num_threads",
        [](int threads) {
            if (threads < 1) throw pybind11::value_error("threads: expected 1 or more, got " + std::to_string(threads));
            fb::set_num_threads(threads);
        },
        pybind11::arg("threads"), "Sets how many threads a kernel may use.");
    fb::register_activations(m);
    fb::register_recurrent(m);
    fb::register_elman(m);
    fb::register_gru(m);
    fb::register_lstm(m);
    fb::register_stream(m);
    fb::register_variants(m);
    fb::register_linear(m);
    fb::register_embedding(m);
    fb::register_loss(m);
    fb::register_optim(m);
}

// LSTM weights, packed.
#include "kernels/recurrent/lstm.hpp"

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {

void register_lstm(py::module_& m) {
    register_gates<Lstm>(m, "lstm_pack", "lstm", "Pack a snapshot of the weights of one LSTM layer.");
}

}  // namespace fastrnn::bindings

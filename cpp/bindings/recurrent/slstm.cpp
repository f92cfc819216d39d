// sLSTM weights, packed.
#include "kernels/recurrent/slstm.hpp"

#include "bindings/recurrent/packed.hpp"

namespace fastrnn::bindings {

void register_slstm(py::module_& m) {
    register_gates<Slstm>(m, "slstm_pack", "slstm", "Pack a snapshot of the weights of one sLSTM layer.");
}

}  // namespace fastrnn::bindings

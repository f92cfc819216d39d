// The large products, compiled once for each scalar.
#include "kernels/matrix/product.hpp"

namespace fastrnn {

FASTRNN_PRODUCTS(, float)
FASTRNN_PRODUCTS(, double)

}  // namespace fastrnn

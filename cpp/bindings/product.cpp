// The large products, instantiated once per scalar type.
#include "kernels/matrix/product.hpp"

#include "kernels/matrix/outer_product.hpp"

namespace fastrnn {

FASTRNN_PRODUCTS(, float)
FASTRNN_PRODUCTS(, double)
FASTRNN_OUTER_PRODUCTS(, float)
FASTRNN_OUTER_PRODUCTS(, double)

}  // namespace fastrnn

// The linear-chain conditional random field.
#pragma once

#include "kernels/runtime/parallel.hpp"

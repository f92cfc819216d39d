// Connectionist temporal classification: the loss of unaligned labels.
#pragma once

#include "kernels/runtime/parallel.hpp"

// The engine of the instruction set in use.
#pragma once

#include "c/interface/engine.hpp"

namespace fastrnn::c {

// Chosen once: the best that is built and that this CPU can run, or the one that FASTRNN_ISA names. Fails with
// FASTRNN_ERROR_CPU.
const Engine& engine();

}  // namespace fastrnn::c

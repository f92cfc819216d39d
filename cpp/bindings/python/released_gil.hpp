// Runs kernels without the GIL: its release for a scope, and interrupts that poll Python's signals.
#pragma once

#include "bindings/python/pybind11.hpp"
#include "kernels/runtime/interrupt.hpp"

namespace fastrnn::bindings {

// Releases the GIL until the end of the scope. In place of pybind11's gil_scoped_release: its destructor ends the
// process if the interpreter has begun to shut down, because Python then ends the calling thread by unwinding its
// stack. Here such a thread waits for the process to end, as from Python 3.14 on.
class ReleasedGil {
   public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil();
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

   private:
    PyThreadState* const state_;
};

// An interrupt that polls Python's signals; finish() throws what a signal handler raised. Created with the GIL held.
struct SignalInterrupt : Interrupt {
    SignalInterrupt();
    void finish() const;
};

}  // namespace fastrnn::bindings

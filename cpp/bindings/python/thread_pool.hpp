// Threads, scratch memory and interrupts for the bindings.
#pragma once

#include "kernels/runtime/interrupt.hpp"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {

int get_num_threads();
void set_num_threads(int threads);

// Returns the calling thread's scratch memory, reset for one kernel call.
Workspace& fresh_workspace();

// Returns true if a signal handler raised (Ctrl-C): the error is set, and the caller must throw error_already_set.
bool poll_signals();

// An interrupt that polls Python's signals; finish() throws what a signal handler raised.
struct SignalInterrupt : Interrupt {
    SignalInterrupt() { poll = &poll_signals; }
    void finish() const;
};

}  // namespace fastrnn::bindings

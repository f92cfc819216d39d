// What the bindings share at run time: threads, scratch memory, interrupts.
#pragma once

#include "kernels/recurrent/ragged_batch.hpp"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {

int get_num_threads();
void set_num_threads(int threads);

// The calling thread's scratch memory, given back and ready for one kernel call.
Workspace& fresh_workspace();

// True when Python has a signal to handle (Ctrl-C): the error is set, and the caller must throw error_already_set.
bool poll_signals();

// An interrupt that asks Python; finish() throws what the signal's handler raised.
struct SignalInterrupt : Interrupt {
    SignalInterrupt() { poll = &poll_signals; }
    void finish() const;
};

}  // namespace fastrnn::bindings

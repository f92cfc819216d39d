// Threads and scratch memory for the bindings.
#pragma once

#include "kernels/runtime/trust.hpp"
#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {

int get_num_threads();
void set_num_threads(int threads);
// For one call: at most as many as CPUs.
int available_threads();
const TeamCounters& thread_counters();
double meeting_time(int threads, int meetings, double work);

// Returns the calling thread's scratch memory, reset for one kernel call.
Workspace& fresh_workspace();

// Issues a Python warning if the system refused threads since the last call. Needs the GIL. The results are right with
// any number of threads, so a filter that turns warnings into errors does not end the call.
void warn_of_refused_threads() noexcept;

}  // namespace fastrnn::bindings

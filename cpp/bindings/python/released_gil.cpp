// Takes the GIL again after a kernel, also while the interpreter shuts down, and polls Python's signals.
#include "bindings/python/released_gil.hpp"

#include <chrono>
#include <thread>

#include "bindings/python/thread_pool.hpp"

#ifdef _WIN32
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

namespace fastrnn::bindings {
namespace {

// Calls `acquire`, which takes the GIL. Before Python 3.14, that function calls pthread_exit in a thread other than the
// one that shuts the interpreter down. pthread_exit unwinds the stack like an exception, but must not be caught and
// done with, nor pass a destructor: so the thread stays here, without the GIL, until the process ends.
template <class F>
auto acquire_gil(F&& acquire) noexcept {
    try {
        return acquire();
    } catch (...) {
        for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

// Python handles signals in its main thread alone. No other thread polls, so that none asks for the GIL, and ends
// there, in the middle of a region whose team works on its stack.
struct Polling {
    bool known = false, is_main = false;
    int pid = 0;
    std::chrono::steady_clock::time_point last;

    void learn() {
        const auto threading = pybind11::module_::import("threading");
        const pybind11::object main = threading.attr("main_thread")().attr("ident");
        is_main = main.equal(threading.attr("get_ident")());
        pid = int(getpid());
        known = true;
    }
    // A thread that forks is the main thread of the child.
    bool may_poll() const { return is_main || pid != int(getpid()); }
};
thread_local Polling polling;

// Returns true if a signal handler raised (Ctrl-C): the error is set, and the caller must throw error_already_set.
bool poll_signals() {
    const auto now = std::chrono::steady_clock::now();
    if (now - polling.last < std::chrono::milliseconds(50)) return false;
    polling.last = now;
    if (!polling.may_poll()) return false;
    const PyGILState_STATE state = acquire_gil(&PyGILState_Ensure);
    const bool raised = PyErr_CheckSignals() != 0;
    PyGILState_Release(state);
    return raised;
}

}  // namespace

ReleasedGil::~ReleasedGil() {
    acquire_gil([this] { PyEval_RestoreThread(state_); });
    warn_of_refused_threads();
}

SignalInterrupt::SignalInterrupt() {
    if (!polling.known) polling.learn();
    poll = &poll_signals;
}

void SignalInterrupt::finish() const {
    if (stop) throw pybind11::error_already_set();
}

}  // namespace fastrnn::bindings

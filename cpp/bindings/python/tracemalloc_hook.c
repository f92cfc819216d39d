/* What tracemalloc is told of. In C, because Python's header gives these functions to C++ without extern "C". */
#include "bindings/python/tracemalloc_hook.h"

#include <Python.h>

/* Where tracemalloc counts NumPy's arrays. */
static const unsigned numpy_domain = 389047;

void fastrnn_trace(const void* memory, size_t bytes) {
    PyTraceMalloc_Track(numpy_domain, (uintptr_t)memory, bytes);
}

void fastrnn_untrace(const void* memory) { PyTraceMalloc_Untrack(numpy_domain, (uintptr_t)memory); }

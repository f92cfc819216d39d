/* Reports memory to tracemalloc. In C, because Python's header declares these functions without extern "C". */
#include "bindings/python/tracemalloc_hook.h"

#include <Python.h>

/* The domain in which tracemalloc counts NumPy's arrays. */
static const unsigned numpy_domain = 389047;

void fastrnn_trace(const void* memory, size_t bytes) { PyTraceMalloc_Track(numpy_domain, (uintptr_t)memory, bytes); }

void fastrnn_untrace(const void* memory) { PyTraceMalloc_Untrack(numpy_domain, (uintptr_t)memory); }

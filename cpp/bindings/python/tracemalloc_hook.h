/* Makes Python's tracemalloc count result memory, together with NumPy's arrays. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void fastrnn_trace(const void* memory, size_t bytes);
void fastrnn_untrace(const void* memory);

#ifdef __cplusplus
}
#endif

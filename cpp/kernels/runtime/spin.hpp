// What a thread does that waits without sleeping.
#pragma once

#include <cstdint>

#include "kernels/runtime/trust.hpp"

#if defined(_M_X64) && !defined(__GNUC__)
#include <xmmintrin.h>
#endif

namespace fastrnn {

// Tells the processor that the thread only waits.
inline void spin_once() {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#elif defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    asm volatile("isb" ::: "memory");
#endif
}

// A clock that is quick to read, for comparisons.
inline std::uint64_t ticks() {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_ia32_rdtsc();
#else
    return std::uint64_t(Clock::now().time_since_epoch().count());
#endif
}

}  // namespace fastrnn

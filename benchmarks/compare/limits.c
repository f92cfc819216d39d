/* The limits of one core: multiply-adds a second in each precision, and bytes read a second.

   Built for this machine by limits.py, never shipped. Vectors are the compiler's own (GCC, Clang); only the sums of
   products of bfloat16 and of bytes, which C cannot write, are intrinsics. */

#if defined(__AVX512BF16__) || defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

/* Enough chains to hide the latency of an fma on two ports, few enough for 16 registers. */
enum { LANES = BYTES / 4, CHAINS = 12 };

typedef float vector __attribute__((vector_size(BYTES)));

static float sum(const vector *values)
{
    float total = 0.0f;
    for (int i = 0; i < CHAINS; ++i)
        for (int lane = 0; lane < LANES; ++lane)
            total += values[i][lane];
    return total;
}

long flops_per_round(void) { return 2L * LANES * CHAINS; }

/* x = x * a + b in CHAINS vectors that do not depend on each other. */
float multiply_add(long rounds)
{
    vector x[CHAINS], a = {0}, b = {0};
    a += 0.999f;
    b += 0.001f;
    for (int i = 0; i < CHAINS; ++i)
        x[i] = b * (float)i;
    for (long round = 0; round < rounds; ++round)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i)
            x[i] = x[i] * a + b;
    return sum(x);
}

/* The same with the instructions that add up products of narrow numbers: two bfloat16 a lane (VDPBF16PS), four bytes
   (VPDPBUSD). `products` is the number of products a lane, 0 where the CPU has no such instruction. */
#if defined(__AVX512BF16__)
long bfloat16_products(void) { return 2; }

float multiply_add_bfloat16(long rounds)
{
    __m512 x[CHAINS];
    const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80), b = (__m512bh)_mm512_set1_epi32(0x00800080);
    for (int i = 0; i < CHAINS; ++i)
        x[i] = _mm512_set1_ps((float)i);
    for (long round = 0; round < rounds; ++round)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i)
            x[i] = _mm512_dpbf16_ps(x[i], a, b);
    for (int i = 1; i < CHAINS; ++i)
        x[0] += x[i];
    return _mm512_reduce_add_ps(x[0]);
}
#else
long bfloat16_products(void) { return 0; }
float multiply_add_bfloat16(long rounds) { return (float)rounds; }
#endif

#if defined(__AVX512VNNI__)
long int8_products(void) { return 4; }

float multiply_add_int8(long rounds)
{
    __m512i x[CHAINS];
    const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1);
    for (int i = 0; i < CHAINS; ++i)
        x[i] = _mm512_set1_epi32(i);
    for (long round = 0; round < rounds; ++round)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i)
            x[i] = _mm512_dpbusd_epi32(x[i], a, b);
    for (int i = 1; i < CHAINS; ++i)
        x[0] = _mm512_add_epi32(x[0], x[i]);
    return (float)_mm512_reduce_add_epi32(x[0]);
}
#else
long int8_products(void) { return 0; }
float multiply_add_int8(long rounds) { return (float)rounds; }
#endif

/* Adds up `vectors` vectors, `rounds` times; `values` is aligned to 64 bytes, `vectors` a multiple of CHAINS. */
float read_all(const float *values, long vectors, long rounds)
{
    const vector *v = (const vector *)values;
    vector x[CHAINS] = {0};
    for (long round = 0; round < rounds; ++round)
        for (long k = 0; k < vectors; k += CHAINS)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; ++i)
                x[i] += v[k + i];
    return sum(x);
}

long vector_bytes(void) { return BYTES; }

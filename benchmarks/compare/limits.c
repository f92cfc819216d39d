/* The limits of one core, float32: multiply-adds a second, and bytes read a second.

   Built for this machine by limits.py, never shipped. Vectors are the compiler's own (GCC, Clang), no intrinsics. */

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

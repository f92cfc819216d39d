/* What fastrnn.h promises of the functions marked [real time]: no allocation, no system call, the floating-point mode
 * of the thread as it was.
 *
 *     real_time MODEL STEPS
 *
 * Runs them all in a thread of its own: STEPS times with every allocation counted, then in a mode in which the kernel
 * (Linux) ends a thread at its first system call. Prints the numbers of allocations and of their bytes.
 */
#define _GNU_SOURCE
#include <fastrnn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static long allocations, bytes;
static int counting;

static void count(size_t size) {
    if (counting) ++allocations, bytes += (long)size;
}
void* malloc(size_t size) { return count(size), __libc_malloc(size); }
void* calloc(size_t n, size_t size) { return count(n * size), __libc_calloc(n, size); }
void* realloc(void* p, size_t size) { return count(size), __libc_realloc(p, size); }
void* aligned_alloc(size_t alignment, size_t size) { return count(size), __libc_memalign(alignment, size); }
void* memalign(size_t alignment, size_t size) { return count(size), __libc_memalign(alignment, size); }
int posix_memalign(void** p, size_t alignment, size_t size) {
    count(size);
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : 12;
}

static fastrnn_model* model;
static fastrnn_stream* stream;
static fastrnn_model_info info;
static float *x, *y, *state;
static long steps;
static const char* failure = "the thread was ended";
enum { AT_ONCE = 8 };

static int wrong(const char* what) {
    failure = what;
    return 0;
}

/* Each function once, and each way in which a step can fail. */
static int call_all(long step) {
    const size_t inputs = info.input_size, outputs = info.output_size;
    const int64_t id = step % (long)inputs, far = (int64_t)inputs;
    if (info.reads_floats) {
        x[step % (long)inputs] = step % 7 == 0 ? 1e-39f : 0.25f; /* also a denormal */
        if (fastrnn_step(stream, x, inputs, y, outputs)) return wrong("step");
        if (step % AT_ONCE == 0 && fastrnn_run(stream, AT_ONCE, x, AT_ONCE * inputs, y, AT_ONCE * outputs))
            return wrong("run");
        if (fastrnn_step(stream, x, inputs + 1, y, outputs) != FASTRNN_ERROR_ARGUMENT) return wrong("x_size");
    }
    if (info.reads_ids) {
        if (fastrnn_step_ids(stream, &id, 1, y, outputs)) return wrong("step_ids");
        if (fastrnn_step_ids(stream, &far, 1, y, outputs) != FASTRNN_ERROR_ARGUMENT) return wrong("far");
    }
    if (fastrnn_get_state(stream, state, info.state_size)) return wrong("get_state");
    if (fastrnn_set_state(stream, state, info.state_size)) return wrong("set_state");
    if (step % 100 == 0 && fastrnn_reset(stream)) return wrong("reset");
    if (fastrnn_reset(NULL) != FASTRNN_ERROR_HANDLE) return wrong("reset of NULL");
    return 1;
}

static void* run(void* unused) {
    volatile float tiny = 1e-39f;
    long step;
    (void)unused;
    counting = 1;
    for (step = 0; step < steps; ++step)
        if (!call_all(step)) return NULL;
    counting = 0;
    if (tiny * 0.5f == 0.0f) return wrong("denormals are flushed after a step"), NULL;
    if (!strstr(fastrnn_last_error(), "NULL")) return wrong("last_error"), NULL;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return wrong("prctl"), NULL;
    for (step = 0; step < 1000; ++step)
        if (!call_all(step)) break;
    if (step == 1000) failure = NULL;
    syscall(SYS_exit, 0); /* one of the four that are allowed; exit would use another */
    return NULL;
}

int main(int argc, char** argv) {
    pthread_t thread;
    if (argc != 3 || fastrnn_open(argv[1], &model) || fastrnn_create_stream(model, 1, &stream) ||
        fastrnn_describe(model, &info)) {
        fprintf(stderr, "%s\n", fastrnn_last_error());
        return 2;
    }
    steps = atol(argv[2]);
    x = calloc(AT_ONCE * info.input_size, sizeof *x);
    y = calloc(AT_ONCE * info.output_size, sizeof *y);
    state = calloc(info.state_size + 1, sizeof *state);
    if (!x || !y || !state || pthread_create(&thread, NULL, run, NULL)) return 2;
    pthread_join(thread, NULL);
    if (failure) {
        fprintf(stderr, "failed: %s\n", failure);
        return 1;
    }
    printf("%ld allocations, %ld bytes in %ld steps\n", allocations, bytes, steps);
    free(x), free(y), free(state);
    return fastrnn_close_stream(stream) || fastrnn_close_model(model);
}

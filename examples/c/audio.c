/* The loop of an audio effect: a network for each sample at 48 kHz, and its cost as a share of real time.
 *
 *     audio                           two networks with made-up weights: LSTM 1 -> 40 and LSTM 16 -> 64, each with a
 *                                     linear output
 *     audio MODEL [IN OUT]            a model file with one output; IN and OUT: raw float32 samples, mono
 *
 * A host calls an effect with blocks of samples and waits for each: what counts is the usual time of a block and
 * the longest one, which on a busy machine is the system's more than the effect's.
 */
#define _POSIX_C_SOURCE 199309L

#include <fastrnn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RATE = 48000, BLOCK = 64, BLOCKS = RATE / BLOCK, WIDEST = 64 };

/* An effect: a stream, and the last samples that it reads. */
typedef struct effect {
    fastrnn_model* model;
    fastrnn_stream* stream;
    size_t inputs;
    float history[WIDEST];
} effect;

static void fail(const char* what) {
    fprintf(stderr, "%s: %s\n", what, fastrnn_last_error());
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Weights for a demonstration: uniform in [-scale, scale), the same in every run. */
static float* made_up(size_t count, float scale) {
    static uint32_t state = 1;
    float* weights = malloc(count * sizeof *weights);
    size_t i;
    if (!weights) exit(1);
    for (i = 0; i < count; ++i) {
        state = state * 1664525u + 1013904223u;
        weights[i] = scale * ((float)(state >> 8) / 8388608.0f - 1.0f);
    }
    return weights;
}

/* An LSTM with a linear output from plain arrays, in PyTorch's layout. */
static fastrnn_model* make_model(size_t inputs, size_t hidden) {
    const float scale = 1.0f / sqrtf((float)hidden);
    float *weight_ih = made_up(4 * hidden * inputs, scale), *weight_hh = made_up(4 * hidden * hidden, scale);
    float *bias_ih = made_up(4 * hidden, scale), *bias_hh = made_up(4 * hidden, scale);
    float *weight = made_up(hidden, scale), *bias = made_up(1, scale);
    fastrnn_recurrent lstm = {FASTRNN_LSTM, 0, 0, NULL, NULL, NULL, NULL};
    fastrnn_model* model = NULL;
    lstm.input_size = inputs, lstm.hidden_size = hidden;
    lstm.weight_ih = weight_ih, lstm.weight_hh = weight_hh;
    lstm.bias_ih = bias_ih, lstm.bias_hh = bias_hh;
    if (fastrnn_create_model(&model) || fastrnn_add_recurrent(model, &lstm) ||
        fastrnn_add_linear(model, hidden, 1, weight, bias))
        fail("model");
    free(weight_ih), free(weight_hh), free(bias_ih), free(bias_hh), free(weight), free(bias);
    return model;
}

static effect open_effect(fastrnn_model* model) {
    effect made;
    fastrnn_model_info info;
    memset(&made, 0, sizeof made);
    if (fastrnn_describe(model, &info)) fail("model");
    if (!info.reads_floats || info.input_size > WIDEST || info.output_size != 1) {
        fprintf(stderr, "model: expected at most %d inputs and one output, got %lu and %lu\n", (int)WIDEST,
                (unsigned long)info.input_size, (unsigned long)info.output_size);
        exit(1);
    }
    made.model = model, made.inputs = info.input_size;
    if (fastrnn_create_stream(model, 1, &made.stream)) fail("stream");
    return made;
}

static void close_effect(effect* used) {
    if (fastrnn_close_stream(used->stream) || fastrnn_close_model(used->model)) fail("close");
}

/* What the host calls, in its audio thread: nothing in here allocates, locks or waits. The network reads the last
 * `inputs` samples, the newest first. */
static void process(effect* used, const float* in, float* out, size_t count) {
    size_t i;
    for (i = 0; i < count; ++i) {
        memmove(used->history + 1, used->history, (used->inputs - 1) * sizeof *used->history);
        used->history[0] = in[i];
        if (fastrnn_step(used->stream, used->history, used->inputs, &out[i], 1) != FASTRNN_OK) out[i] = 0;
    }
}

static int compare(const void* a, const void* b) {
    const double difference = *(const double*)a - *(const double*)b;
    return (difference > 0) - (difference < 0);
}

/* Runs an effect over a second of a plucked string, and prints what that costs. */
static void measure(const char* name, fastrnn_model* model) {
    const double pi = 3.14159265358979323846, share = 100.0 * RATE / BLOCK;
    static double spent[BLOCKS];
    float in[BLOCK], out[BLOCK];
    double power = 0, usual;
    int block, i;
    effect used = open_effect(model);
    for (block = 0; block < BLOCKS; ++block) {
        double begin;
        for (i = 0; i < BLOCK; ++i) {
            const double t = (double)(block * BLOCK + i) / RATE;
            in[i] = (float)(0.5 * sin(2 * pi * 220 * t) * exp(-3 * fmod(t, 0.5)));
        }
        begin = now();
        process(&used, in, out, BLOCK);
        spent[block] = now() - begin;
        for (i = 0; i < BLOCK; ++i) power += (double)out[i] * out[i];
    }
    qsort(spent, BLOCKS, sizeof *spent, compare);
    usual = spent[BLOCKS / 2];
    printf("%-16s %7.3f us a sample, %5.2f %% of real time; longest block %5.2f %%; level %.4f\n", name,
           1e6 * usual / BLOCK, share * usual, share * spent[BLOCKS - 1], sqrt(power / (BLOCKS * BLOCK)));
    close_effect(&used);
}

static void expect(int good, const char* path, const char* otherwise) {
    if (good) return;
    fprintf(stderr, "%s: %s\n", path, otherwise);
    exit(1);
}

/* The output is opened last: what it held is not lost to another mistake. */
static void process_file(fastrnn_model* model, const char* from, const char* to) {
    FILE *input, *output;
    float in[BLOCK], out[BLOCK];
    size_t count;
    effect used = open_effect(model);
    expect(strcmp(from, to) != 0, to, "expected another file than the input");
    expect((input = fopen(from, "rb")) != NULL, from, "cannot be opened");
    expect((output = fopen(to, "wb")) != NULL, to, "cannot be opened");
    while ((count = fread(in, sizeof *in, BLOCK, input)) > 0) {
        process(&used, in, out, count);
        expect(fwrite(out, sizeof *out, count, output) == count, to, "cannot be written");
    }
    expect(!ferror(input), from, "cannot be read");
    expect(fclose(output) == 0, to, "cannot be written");
    fclose(input);
    close_effect(&used);
}

int main(int argc, char** argv) {
    fastrnn_model* model;
    if (argc == 3 || argc > 4) {
        fprintf(stderr, "usage: audio [MODEL [IN OUT]]\n");
        return 2;
    }
    if (!fastrnn_isa()) fail("fastrnn");
    if (argc == 1) {
        printf("fastrnn %s on %s, blocks of %d samples at %d Hz\n", fastrnn_version(), fastrnn_isa(), (int)BLOCK,
               (int)RATE);
        measure("LSTM 1 -> 40", make_model(1, 40));
        measure("LSTM 16 -> 64", make_model(16, 64));
        return 0;
    }
    if (fastrnn_open(argv[1], &model)) fail("audio");
    if (argc == 4)
        process_file(model, argv[2], argv[3]);
    else
        measure(argv[1], model);
    return 0;
}

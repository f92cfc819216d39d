/* A text from a language model: a checkpoint of `fastrnn train` or fr.save_checkpoint.
 *
 *     generate MODEL [PROMPT [LENGTH [TEMPERATURE [SEED]]]]
 *
 * LENGTH in symbols, 200 by default; TEMPERATURE 1 by default, 0 takes the most likely symbol each time.
 */
#include <fastrnn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char* what) {
    fprintf(stderr, "%s: %s\n", what, fastrnn_last_error());
    exit(1);
}

/* A number in [0, 1): xorshift64*, good enough for a text. */
static double uniform(uint64_t* state) {
    *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
    return (double)(*state * UINT64_C(2685821657736338717) >> 11) / 9007199254740992.0;
}

/* Draws an id with the probabilities softmax(logits / temperature). */
static int64_t draw(const float* logits, size_t count, double temperature, uint64_t* random) {
    double most, sum = 0, left;
    size_t i, best = 0;
    for (i = 1; i < count; ++i)
        if (logits[i] > logits[best]) best = i;
    if (temperature <= 0) return (int64_t)best;
    most = logits[best];
    for (i = 0; i < count; ++i) sum += exp((logits[i] - most) / temperature);
    left = uniform(random) * sum;
    for (i = 0; i < count; ++i) {
        left -= exp((logits[i] - most) / temperature);
        if (left < 0) return (int64_t)i;
    }
    return (int64_t)best;
}

/* The id of the longest symbol that `text` begins with, and its length; -1 if there is none. */
static int64_t first_symbol(const fastrnn_model* model, size_t count, const char* text, size_t* length) {
    const size_t left = strlen(text);
    int64_t id, found = -1;
    *length = 0;
    for (id = 0; id < (int64_t)count; ++id) {
        const char* symbol;
        size_t size;
        if (fastrnn_symbol(model, id, &symbol, &size)) fail("symbol");
        if (size > *length && size <= left && memcmp(text, symbol, size) == 0) found = id, *length = size;
    }
    return found;
}

static void print_symbol(const fastrnn_model* model, const fastrnn_model_info* info, int64_t id) {
    const char* symbol;
    size_t size;
    if (fastrnn_symbol(model, id, &symbol, &size)) fail("symbol");
    fwrite(symbol, 1, size, stdout);
    if (info->symbols_are_words) putchar(' ');
}

int main(int argc, char** argv) {
    const char* prompt = argc > 2 ? argv[2] : "";
    const long length = argc > 3 ? atol(argv[3]) : 200;
    const double temperature = argc > 4 ? atof(argv[4]) : 1.0;
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15) * ((argc > 5 ? (uint64_t)atol(argv[5]) : 0) + 1);
    fastrnn_model* model;
    fastrnn_stream* stream;
    fastrnn_model_info info;
    float* logits;
    long i;
    int64_t id;
    if (argc < 2) {
        fprintf(stderr, "usage: generate MODEL [PROMPT [LENGTH [TEMPERATURE [SEED]]]]\n");
        return 2;
    }
    if (fastrnn_open(argv[1], &model) || fastrnn_create_stream(model, 1, &stream) || fastrnn_describe(model, &info))
        fail("generate");
    if (!info.vocabulary_size) {
        fprintf(stderr, "%s: expected a language model, got one without a vocabulary\n", argv[1]);
        return 1;
    }
    logits = malloc(info.output_size * sizeof *logits);
    if (!logits) return 1;

    id = info.start;
    if (id == FASTRNN_NONE && !*prompt) {
        fprintf(stderr, "prompt: expected at least one symbol, as the model has no start\n");
        return 1;
    }
    if (id != FASTRNN_NONE && fastrnn_step_ids(stream, &id, 1, logits, info.output_size)) fail("step");
    while (*prompt) {
        size_t size;
        id = first_symbol(model, info.vocabulary_size, prompt, &size);
        if (id < 0) {
            fprintf(stderr, "prompt: no symbol of the vocabulary begins \"%s\"\n", prompt);
            return 1;
        }
        print_symbol(model, &info, id);
        if (fastrnn_step_ids(stream, &id, 1, logits, info.output_size)) fail("step");
        prompt += size;
        while (info.symbols_are_words && *prompt == ' ') ++prompt;
    }
    for (i = 0; i < length; ++i) {
        id = draw(logits, info.output_size, temperature, &random);
        if (id == info.eos) break;
        print_symbol(model, &info, id);
        if (fastrnn_step_ids(stream, &id, 1, logits, info.output_size)) fail("step");
    }
    putchar('\n');
    free(logits);
    if (fastrnn_close_stream(stream) || fastrnn_close_model(model)) fail("close");
    return 0;
}

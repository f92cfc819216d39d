/* Run recurrent networks from C. Open a model file or build a model from arrays, and step through sequences.
 *
 *     fastrnn_model *model;
 *     fastrnn_stream *stream;
 *     float x[1], y[1];
 *     if (fastrnn_open("effect.safetensors", &model) || fastrnn_create_stream(model, 1, &stream))
 *         return fprintf(stderr, "%s\n", fastrnn_last_error()), 1;
 *     while (read_sample(x))
 *         if (fastrnn_step(stream, x, 1, y, 1) == FASTRNN_OK) write_sample(y);
 *     fastrnn_close_stream(stream);
 *     fastrnn_close_model(model);
 *
 * Numbers. All are float32. Results have the same bits as those of the Python package's streams on the same instruction
 * set, except where they agree to rounding only: softmax, log_softmax, and a GRU with a dropout option. The instruction
 * set is chosen at the first call: the best that the CPU has, or the one that the environment variable FASTRNN_ISA
 * names. A model whose products have another precision (`precision`, fr.quantize) is computed in float32 here; its
 * weights are those of the file, exactly, so results differ from Python's by what the precision rounds besides weights.
 *
 * Real time. The functions marked [real time] allocate nothing, take no lock, make no system call, throw nothing and
 * take a time that sizes bound: numbers too small for a normal float count as zero inside of recurrent layers, and the
 * floating-point mode of the thread is restored. Everything else may allocate.
 *
 * Threads. A model may be used by many threads. A stream is used by one thread at a time; if two call at once, one gets
 * FASTRNN_ERROR_BUSY. A step runs in the thread that calls it.
 *
 * Handles are numbers in the form of pointers, never dereferenced: NULL, a closed handle, one of the other kind and
 * one made up are errors, not crashes. Arrays are the caller's; sizes count elements and are checked, the pointers
 * cannot be.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(FASTRNN_SHARED_LIBRARY)
#if defined(FASTRNN_BUILDING)
#define FASTRNN_API __declspec(dllexport)
#else
#define FASTRNN_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define FASTRNN_API __attribute__((visibility("default")))
#else
#define FASTRNN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fastrnn_model fastrnn_model;
typedef struct fastrnn_stream fastrnn_stream;

/* What every function returns that can fail. After anything but FASTRNN_OK, the outputs are untouched, and
 * fastrnn_last_error() says what was expected and what was got. */
typedef enum fastrnn_status {
    FASTRNN_OK = 0,
    FASTRNN_ERROR_ARGUMENT = 1,    /* null, a wrong size, an id or an option out of range */
    FASTRNN_ERROR_HANDLE = 2,      /* NULL, closed, or not a handle of this kind */
    FASTRNN_ERROR_FILE = 3,        /* the file cannot be read */
    FASTRNN_ERROR_FORMAT = 4,      /* the file is damaged or not a model of fastrnn */
    FASTRNN_ERROR_UNSUPPORTED = 5, /* a model or option that this library lacks */
    FASTRNN_ERROR_MEMORY = 6,
    FASTRNN_ERROR_BUSY = 7, /* another thread is using the stream, or the model is being built */
    FASTRNN_ERROR_CPU = 8   /* FASTRNN_ISA names an instruction set that is unknown, not supported or not built */
} fastrnn_status;

/* The message of the last error in this thread, "" before the first; valid until the thread's next error. */
FASTRNN_API const char* fastrnn_last_error(void);

/* "0.1.0": the version of this library, which is that of the Python package. */
FASTRNN_API const char* fastrnn_version(void);

/* "avx512", "avx2" or "baseline": the instruction set in use. NULL on an error (FASTRNN_ERROR_CPU). FASTRNN_ISA may say
 * "avx512_bf16" as in Python; here that is "avx512". */
FASTRNN_API const char* fastrnn_isa(void);

/* --- models ------------------------------------------------------------------------------------------------------ */

/* Opens a file that fr.Sequential.save, fastrnn.train.save_checkpoint or `fastrnn train` wrote: embedding, RNN, GRU,
 * LSTM, sLSTM, stacks of them, linear layers, heads, activations; also of fr.quantize. What else a file may hold
 * (float64, a reverse direction, options of a cell that change a step, an adaptive softmax, a length model) is
 * FASTRNN_ERROR_UNSUPPORTED. The file may be deleted afterwards. Every model that was opened or created must be closed.
 */
FASTRNN_API fastrnn_status fastrnn_open(const char* path, fastrnn_model** model);

/* The same from the bytes of such a file; they may be freed afterwards. */
FASTRNN_API fastrnn_status fastrnn_open_memory(const void* data, size_t size, fastrnn_model** model);

/* Closes a model. Its streams keep what they need and may be used and closed later. */
FASTRNN_API fastrnn_status fastrnn_close_model(fastrnn_model* model);

typedef struct fastrnn_model_info {
    size_t input_size;      /* width of x; of ids, how many there are */
    size_t output_size;     /* width of y */
    size_t state_size;      /* floats in the state of one sequence */
    size_t parameters;      /* numbers in weights and biases */
    size_t vocabulary_size; /* symbols of fastrnn_symbol; 0 if the file holds none */
    int64_t start;          /* the id before a text, -1: a vector of zeros; FASTRNN_NONE if there is none */
    int64_t eos;            /* the id that ends a text; FASTRNN_NONE if there is none */
    int reads_floats;       /* 1 if fastrnn_step may be used */
    int reads_ids;          /* 1 if fastrnn_step_ids may be used */
    int symbols_are_words;  /* 1 if a text is the symbols with spaces between them, 0 if without */
} fastrnn_model_info;

#define FASTRNN_NONE ((int64_t)-2)

FASTRNN_API fastrnn_status fastrnn_describe(const fastrnn_model* model, fastrnn_model_info* info);

/* The symbol of an id as UTF-8, followed by '\0' that `length` does not count; a symbol may contain '\0' itself. Valid
 * until the model is closed. `length` may be NULL. */
FASTRNN_API fastrnn_status fastrnn_symbol(const fastrnn_model* model, int64_t id, const char** text, size_t* length);

/* The description in the file's header, as JSON in UTF-8 (format_version, package_version, model or parts, vocabulary,
 * ...); "" if the model was built from arrays. Valid until the model is closed. `length` may be NULL. */
FASTRNN_API fastrnn_status fastrnn_metadata(const fastrnn_model* model, const char** json, size_t* length);

/* --- models from arrays of weights ------------------------------------------------------------------------------- */

/* A model without layers. Add layers in the order of the data, then create streams; layers cannot be added once there
 * is a stream. The arrays are copied. A failing fastrnn_add_... leaves the model as it was. */
FASTRNN_API fastrnn_status fastrnn_create_model(fastrnn_model** model);

/* y = weight[id], weight [count, width]; must be the first layer. */
FASTRNN_API fastrnn_status fastrnn_add_embedding(fastrnn_model* model, size_t count, size_t width, const float* weight);

typedef enum fastrnn_cell {
    FASTRNN_RNN_TANH = 0,
    FASTRNN_RNN_RELU = 1,
    FASTRNN_GRU = 2,              /* the reset gate after the recurrent product, as in PyTorch and cuDNN */
    FASTRNN_GRU_RESET_BEFORE = 3, /* before it, as in the paper; Keras with reset_after=False */
    FASTRNN_LSTM = 4
} fastrnn_cell;

/* One recurrent layer in PyTorch's layout; G gates: RNN 1, GRU 3 (r, z, n), LSTM 4 (i, f, g, o). */
typedef struct fastrnn_recurrent {
    fastrnn_cell cell;
    size_t input_size;      /* D */
    size_t hidden_size;     /* H */
    const float* weight_ih; /* [G * H, D], row-major */
    const float* weight_hh; /* [G * H, H] */
    const float* bias_ih;   /* [G * H], or NULL */
    const float* bias_hh;   /* [G * H], or NULL */
} fastrnn_recurrent;

FASTRNN_API fastrnn_status fastrnn_add_recurrent(fastrnn_model* model, const fastrnn_recurrent* layer);

/* y = weight x + bias, weight [outputs, inputs] row-major, bias [outputs] or NULL. */
FASTRNN_API fastrnn_status fastrnn_add_linear(fastrnn_model* model, size_t inputs, size_t outputs, const float* weight,
                                              const float* bias);

typedef enum fastrnn_activation {
    FASTRNN_TANH = 0,
    FASTRNN_RELU = 1,
    FASTRNN_SIGMOID = 2,
    FASTRNN_HARD_SIGMOID = 3, /* max(0, min(1, 0.2 x + 0.5)) */
    FASTRNN_SOFTMAX = 4,      /* over the numbers of one step; equal to Python's to rounding, not to the bit */
    FASTRNN_LOG_SOFTMAX = 5   /* likewise */
} fastrnn_activation;

FASTRNN_API fastrnn_status fastrnn_add_activation(fastrnn_model* model, fastrnn_activation activation);

/* --- streams ----------------------------------------------------------------------------------------------------- */

/* `batch` sequences side by side, 1 for most uses, each in the initial state: zero, or what the model learned. */
FASTRNN_API fastrnn_status fastrnn_create_stream(const fastrnn_model* model, size_t batch, fastrnn_stream** stream);

/* An independent stream that continues from the same state. */
FASTRNN_API fastrnn_status fastrnn_copy_stream(const fastrnn_stream* stream, fastrnn_stream** copy);

FASTRNN_API fastrnn_status fastrnn_close_stream(fastrnn_stream* stream);

/* [real time] One step: reads x [batch, input_size], writes y [batch, output_size]. The sizes count all elements. x and
 * y must not overlap. */
FASTRNN_API fastrnn_status fastrnn_step(fastrnn_stream* stream, const float* x, size_t x_size, float* y, size_t y_size);

/* [real time] `steps` steps in one call: x [steps, batch, input_size], y [steps, batch, output_size]. */
FASTRNN_API fastrnn_status fastrnn_run(fastrnn_stream* stream, size_t steps, const float* x, size_t x_size, float* y,
                                       size_t y_size);

/* [real time] One step of ids [batch], each in 0 .. input_size - 1, or -1 for a vector of zeros. */
FASTRNN_API fastrnn_status fastrnn_step_ids(fastrnn_stream* stream, const int64_t* ids, size_t count, float* y,
                                            size_t y_size);

/* [real time] Returns to the initial state. */
FASTRNN_API fastrnn_status fastrnn_reset(fastrnn_stream* stream);

/* [real time] Copy the state out, or in. It has batch * state_size floats: for each recurrent layer in order its h
 * [batch, H], then, if it has one, its c. */
FASTRNN_API fastrnn_status fastrnn_get_state(const fastrnn_stream* stream, float* state, size_t size);
FASTRNN_API fastrnn_status fastrnn_set_state(fastrnn_stream* stream, const float* state, size_t size);

#ifdef __cplusplus
}
#endif

#endif

// What the library's front and its engines say to each other: plain data and functions, because an engine is a closed
// world, compiled for one instruction set. The front checks everything; an engine trusts it and only runs out of
// memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastrnn::c {

enum class Operation { embedding, recurrent, linear, activation, add, concatenate };
enum class ActivationKind { tanh, relu, sigmoid, hard_sigmoid, softmax, log_softmax };
enum class Cell { elman, gru_after, gru_before, lstm, slstm };

// One layer and direction. Arrays are float32, row-major, in PyTorch's layout, alive during `add` only.
struct RecurrentLayer {
    Cell cell = Cell::lstm;
    bool rectified = false;  // of a vanilla cell: relu
    std::size_t D = 0, H = 0;
    const float *weight_ih = nullptr, *weight_hh = nullptr, *bias_ih = nullptr, *bias_hh = nullptr;
    const float *initial_h = nullptr, *initial_c = nullptr;  // null: zeros
};

// A node of a network. Value 0 is the input, value k + 1 the output of node k.
struct Node {
    Operation operation = Operation::linear;
    std::size_t from = 0, other = 0;      // the values that it reads; `other` of add and concatenate
    std::size_t inputs = 0, outputs = 0;  // widths of `from` and of the node's own value
    const float *weight = nullptr, *bias = nullptr;
    ActivationKind activation = ActivationKind::tanh;
    RecurrentLayer recurrent;
};

struct Network;
struct Stream;

// All functions return null or false if memory ends, and throw nothing.
struct Engine {
    const char* name;
    Network* (*make_network)();
    bool (*add)(Network*, const Node&);
    void (*delete_network)(Network*);
    std::size_t (*state_size)(const Network*);  // floats of one sequence
    // A stream reads its network, which must live as long.
    Stream* (*make_stream)(const Network*, std::size_t batch);
    void (*delete_stream)(Stream*);
    // These allocate nothing. Steps of x [steps, batch, inputs] or ids [steps, batch], whichever is not null.
    void (*run)(Stream*, std::size_t steps, const float* x, const std::int64_t* ids, float* y);
    void (*reset)(Stream*);
    void (*get_state)(const Stream*, float*);
    void (*set_state)(Stream*, const float*);
};

}  // namespace fastrnn::c

// The engines that are built; the names are data of C, so that `objcopy` can keep them.
extern "C" {
extern const fastrnn::c::Engine fastrnn_engine_baseline, fastrnn_engine_avx2, fastrnn_engine_avx512;
}

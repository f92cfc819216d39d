// A program whose static objects use the library before main begins and after it ends; without exceptions, in C++11.
//
// It is linked with the static library: prints 3, the result of a step.
#include <fastrnn.h>

#include <cstdio>

struct Early {
    fastrnn_model* model;
    fastrnn_stream* stream;
    bool made;

    Early() : model(nullptr), stream(nullptr), made(false) {
        const float weight[] = {1, 1};
        if (fastrnn_reset(nullptr) != FASTRNN_ERROR_HANDLE) return;
        made = !fastrnn_create_model(&model) && !fastrnn_add_linear(model, 2, 1, weight, nullptr) &&
               !fastrnn_create_stream(model, 1, &stream);
    }
    ~Early() {
        if (fastrnn_close_stream(stream) || fastrnn_close_model(model)) std::puts(fastrnn_last_error());
    }
};

static Early early;

int main() {
    const float x[] = {1, 2};
    float y[1];
    if (!early.made || fastrnn_step(early.stream, x, 2, y, 1)) return std::puts(fastrnn_last_error()), 1;
    std::printf("%g\n", static_cast<double>(y[0]));
    return 0;
}

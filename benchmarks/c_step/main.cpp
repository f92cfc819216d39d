// Times the steps of the sizes given, in turn, and prints a JSON object for each: c_step ROUNDS CELL,D,H ...
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fastrnn.h"
#include "stepper.hpp"

namespace {

using Seconds = std::chrono::duration<double>;

struct Timed {
    const char* name;
    std::unique_ptr<Stepper> stepper;
    std::vector<float> y;
    double best = 1e9;
};

Weights random_weights(int D, int H, int gates) {
    Weights w{D, H, gates, {}, {}, {}, {}};
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1 / std::sqrt(float(H)), 1 / std::sqrt(float(H)));
    const auto fill = [&](std::vector<float>& values, int count) {
        values.resize(std::size_t(count));
        for (float& value : values) value = uniform(random);
    };
    fill(w.ih, gates * H * D);
    fill(w.hh, gates * H * H);
    fill(w.bias_ih, gates * H);
    fill(w.bias_hh, gates * H);
    return w;
}

void measure(const char* cell, int D, int H, int rounds) {
    const Weights w = random_weights(D, H, std::strcmp(cell, "lstm") == 0 ? 4 : 3);
    const int steps = std::max(100, 2000000 / (w.gates * H * (D + H)));
    std::vector<float> x(std::size_t(steps * D));
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random);
    std::vector<Timed> all;
    const auto add = [&](const char* name, std::unique_ptr<Stepper> stepper) {
        if (stepper) all.push_back({name, std::move(stepper), std::vector<float>(std::size_t(H))});
    };
#if defined(HAS_RTNEURAL)
    add("rtneural", rtneural_steps(w));
#endif
    add("fastrnn_step", fastrnn_steps(w));
    add("fastrnn_run", fastrnn_block(w));
    for (int round = 0; round < rounds; ++round)
        for (Timed& one : all) {
            const auto begin = std::chrono::steady_clock::now();
            one.stepper->run(x.data(), steps, one.y.data());
            one.best = std::min(one.best, Seconds(std::chrono::steady_clock::now() - begin).count() / steps);
        }
    double difference = 0;
    for (const Timed& one : all)
        for (std::size_t i = 0; i < one.y.size(); ++i)
            difference = std::max(difference, std::fabs(double(one.y[i]) - double(all.back().y[i])));
    std::printf("{\"cell\": \"%s\", \"D\": %d, \"H\": %d, \"isa\": \"%s\", \"difference\": %.3g", cell, D, H,
                fastrnn_isa(), difference);
    for (const Timed& one : all) std::printf(", \"%s\": %.2f", one.name, one.best * 1e9);
    std::printf("}\n");
    if (!(difference < 1e-5)) {
        std::fprintf(stderr, "the libraries' outputs differ by %g\n", difference);
        std::exit(1);
    }
}

}  // namespace

int main(int count, char** arguments) {
    const int rounds = count > 1 ? std::atoi(arguments[1]) : 0;
    for (int i = 2; i < count; ++i) {
        char cell[8];
        int D, H;
        if (std::sscanf(arguments[i], "%7[a-z],%d,%d", cell, &D, &H) != 3 || rounds < 1) {
            std::fprintf(stderr, "usage: c_step ROUNDS CELL,D,H ...\n");
            return 2;
        }
        measure(cell, D, H, rounds);
    }
}

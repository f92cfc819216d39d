// Weights rounded to bfloat16, or to int8 with a scale for each row.
#include "kernels/matrix/narrow_weights.hpp"

#include <cmath>

namespace fastrnn {
namespace {

void round_row(const NarrowKernels& kernels, const float* w, Index K, std::uint32_t* words, unsigned char* row) {
    const Index count = words_of(kernels, K);
    kernels.narrow(w, K, row, nullptr);
    if (kernels.word_bytes == sizeof *words) return void(std::memcpy(words, row, std::size_t(count) * sizeof *words));
    const auto* const numbers = reinterpret_cast<const std::uint32_t*>(row);  // floats, rounded
    for (Index k = 0; k < count; ++k) words[k] = numbers[2 * k] >> 16 | (numbers[2 * k + 1] & 0xffff0000);
}

// The largest magnitude over 127, rounded up to 16 bits: then a number times the scale is exact, and quantising the
// product again gives the same number and scale. 0 for next to nothing, as in a row of activations. NaN if a weight is
// not finite.
float row_scale(const float* w, Index K) {
    float most = 0.0f, not_finite = 0.0f;
    for (Index k = 0; k < K; ++k) {
        most = std::max(most, std::abs(w[k]));
        not_finite += w[k] * 0.0f;
    }
    if (!(not_finite == 0.0f)) return not_finite;
    if (most < std::ldexp(1.0f, -100)) return 0.0f;
    int exponent;
    const double fraction = std::frexp(double(most) / 127.0, &exponent);
    return float(std::ldexp(std::ceil(std::ldexp(fraction, 16)), exponent - 16));
}

void quantise_row(const float* w, Index K, float scale, signed char* to, std::int32_t& sum) {
    sum = 0;
    for (Index k = 0; k < (K + 3) / 4 * 4; ++k) {
        const float q = k < K && scale > 0.0f ? std::nearbyint(w[k] / scale) : 0.0f;
        to[k] = static_cast<signed char>(q);
        sum += to[k];
    }
}

}  // namespace

void narrow_matrix(const NarrowKernels& kernels, const float* w, const WordMatrix& to, unsigned char* row) {
    for (Index r = 0; r < to.rows; ++r) {
        std::uint32_t* const words = to.data + r * to.words;
        if (!kernels.scaled) {
            round_row(kernels, w + r * to.K, to.K, words, row);
            continue;
        }
        std::int32_t sum;
        to.scales[r] = row_scale(w + r * to.K, to.K);
        quantise_row(w + r * to.K, to.K, to.scales[r], reinterpret_cast<signed char*>(words), sum);
        to.corrections[r] = -kernels.offset * sum;
    }
}

void widen_matrix(const Panels<float>& panels, Index rows, Index K, float* to) {
    const NarrowKernels& kernels = *panels.narrow;
    for (Index r = 0; r < rows; ++r, to += K) {
        const std::uint32_t* const words = panels.rows + r * words_of(kernels, K);
        for (Index k = 0; k < K; ++k) {
            if (kernels.scaled) {
                to[k] = float(reinterpret_cast<const signed char*>(words)[k]) * panels.scales[r];
                continue;
            }
            const std::uint32_t bits = k % 2 ? words[k / 2] & 0xffff0000 : words[k / 2] << 16;
            std::memcpy(to + k, &bits, sizeof bits);
        }
    }
}

}  // namespace fastrnn

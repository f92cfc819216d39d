// Weights rounded to bfloat16, or to int8 with a scale for each row.
#include "kernels/matrix/narrow_weights.hpp"

#include <cmath>

namespace fastrnn {
namespace {

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

}  // namespace

void WordRows::round(Index row, unsigned char* scratch) {
    auto* const words = reinterpret_cast<std::uint32_t*>(data_ + row * words_);
    kernels_.narrow(w_ + row * K_, K_, scratch, nullptr);
    if (kernels_.word_bytes == sizeof *words)
        return void(std::memcpy(words, scratch, std::size_t(words_) * sizeof *words));
    const auto* const numbers = reinterpret_cast<const std::uint32_t*>(scratch);  // floats, rounded
    for (Index k = 0; k < words_; ++k) {
        const std::uint32_t word = numbers[2 * k] >> 16 | (numbers[2 * k + 1] & 0xffff0000);
        std::memcpy(words + k, &word, sizeof word);  // it is read as two halves, and as a float
    }
}

void WordRows::quantise(Index row, float* words) {
    const float* const w = w_ + row * K_;
    auto* const to = reinterpret_cast<signed char*>(words);
    const float scale = scales_[row] = row_scale(w, K_);
    std::int32_t sum = 0;
    for (Index k = 0; k < words_ * kernels_.group; ++k) {
        to[k] = k < K_ && scale > 0.0f ? static_cast<signed char>(std::nearbyint(w[k] / scale)) : 0;
        sum += to[k];
    }
    corrections_[row] = -kernels_.offset * sum;
}

void widen_plain_panels(const Panels<float>& panels, Index rows, Index K, float* to) {
    const NarrowKernels& kernels = *panels.narrow;
    const Index words = words_of(kernels, K), group = kernels.group, bits = 32 / group;
    for_panels<float>(0, rows, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, width = std::min(wide, rows - column);
        for (Index j = 0; j < width; ++j)
            for (Index k = 0; k < K; ++k) {
                const std::uint32_t word = panels.words()[column * words + k / group * wide + j];
                const std::uint32_t upper = word << (32 - bits * (k % group + 1));  // the number, above all others
                float& value = to[(column + j) * K + k];
                if (kernels.scaled) {
                    value = float(std::int32_t(upper) >> 24) * panels.scales[column + j];
                } else {
                    const std::uint32_t rounded = upper & 0xffff0000;
                    std::memcpy(&value, &rounded, sizeof value);
                }
            }
    });
}

}  // namespace fastrnn

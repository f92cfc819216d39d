// Dropout and zoneout masks from the counter-based generator Philox 4x64 with 10 rounds (Salmon, Moraes, Dror, Shaw
// 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"). A mask is a function of key, purpose and step, so that any step
// can be drawn alone and on any thread. The numbers are those of NumPy's Philox(key=[key, purpose]).
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/runtime/parallel.hpp"

namespace fastrnn {

struct MaskProblem {
    std::uint64_t key[2];     // the pass's key, and this mask's purpose
    Index first, steps;       // steps first .. first + steps - 1
    Index width;              // numbers per step
    Index offset, total;      // they are those from `offset` on of the `total` that a step has
    std::uint32_t threshold;  // numbers below it become `dropped`
};

inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
#if defined(__SIZEOF_INT128__)
    __extension__ using Wide = unsigned __int128;
    return std::uint64_t(Wide(a) * b >> 64);
#else
    const std::uint64_t low = 0xffffffffu, a0 = a & low, a1 = a >> 32, b0 = b & low, b1 = b >> 32;
    const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32), cross = a0 * b1 + (middle & low);
    return a1 * b1 + (middle >> 32) + (cross >> 32);
#endif
}

// Blocks drawn side by side: a single one would wait for its own multiplications.
inline constexpr Index philox_blocks = 4;

// Draws `philox_blocks` blocks of four numbers, from counter `first` on.
inline void philox(std::uint64_t first, const std::uint64_t (&key)[2], std::uint64_t* numbers) {
    constexpr std::uint64_t multiplier[2] = {0xD2E7470EE14C6C93u, 0xCA5A826395121157u};
    constexpr std::uint64_t bump[2] = {0x9E3779B97F4A7C15u, 0xBB67AE8584CAA73Bu};
    std::uint64_t c0[philox_blocks], c1[philox_blocks] = {}, c2[philox_blocks] = {}, c3[philox_blocks] = {};
    for (Index b = 0; b < philox_blocks; ++b) c0[b] = first + std::uint64_t(b);
    std::uint64_t k0 = key[0], k1 = key[1];
    FASTRNN_UNROLL
    for (int round = 0; round < 10; ++round) {
        FASTRNN_UNROLL
        for (Index b = 0; b < philox_blocks; ++b) {
            const std::uint64_t high0 = multiply_high(multiplier[0], c0[b]), low0 = multiplier[0] * c0[b];
            const std::uint64_t high1 = multiply_high(multiplier[1], c2[b]), low1 = multiplier[1] * c2[b];
            c0[b] = high1 ^ c1[b] ^ k0, c1[b] = low1, c2[b] = high0 ^ c3[b] ^ k1, c3[b] = low0;
        }
        k0 += bump[0], k1 += bump[1];
    }
    FASTRNN_UNROLL
    for (Index b = 0; b < philox_blocks; ++b, numbers += 4)
        numbers[0] = c0[b], numbers[1] = c1[b], numbers[2] = c2[b], numbers[3] = c3[b];
}

// Fills mask [steps, width] with `dropped` or `kept`. Each step has its own first counter, which follows from `total`;
// a block yields eight 32-bit numbers. So a window of a step has the numbers that it has in the whole step, and what is
// before and after it is not drawn.
template <class S>
void draw_mask(const MaskProblem& p, S dropped, S kept, S* mask, int threads) {
    constexpr Index together = 8 * philox_blocks;
    const Index blocks = (p.total + 7) / 8, unused = p.offset % 8;  // numbers of the first block before the window
    const auto begin = std::uint64_t(p.offset / 8);                 // that block
    const double work = 10.0 * double(p.steps) * double(p.width);
    const auto draw = [=, &p](Range steps) {  // by value: the stores to the mask cannot alias the captures
        for (Index step = steps.begin; step < steps.end; ++step) {
            S* const to = mask + step * p.width;
            // NumPy's generator increments its counter before it draws.
            std::uint64_t counter = std::uint64_t(p.first + step) * std::uint64_t(blocks) + begin + 1;
            for (Index first = -unused; first < p.width; first += together, counter += philox_blocks) {
                std::uint64_t drawn[4 * philox_blocks];
                philox(counter, p.key, drawn);
                std::uint32_t numbers[together];
                std::memcpy(numbers, drawn, sizeof drawn);
                const auto fill = [&numbers, to, first, dropped, kept, threshold = p.threshold](Index i, Index end) {
                    for (; i < end; ++i) to[first + i] = numbers[i] < threshold ? dropped : kept;
                };
                if (first >= 0 && first + together <= p.width)
                    fill(0, together);
                else
                    fill(std::max<Index>(-first, 0), std::min<Index>(together, p.width - first));
            }
        }
    };
    run_team(Sharing::of(int(std::min<Index>(threads, std::max<Index>(p.steps, 1))), work),
             [&](const Worker& worker) { worker.share([&](int piece) { draw(worker.part(p.steps, piece)); }); });
}

}  // namespace fastrnn

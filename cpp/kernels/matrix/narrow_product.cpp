// Products with packed weights of fewer bits, of rows that lie anywhere.
#include "kernels/matrix/product.hpp"
#include "kernels/vector/bfloat16.hpp"

namespace fastrnn {
namespace {

// Fills a block with what the sums of its first `left` columns start with: what is in `out`, or the bias.
void start_rows(const Product<float>& p, const NarrowBlock& block, Index left) {
    for (Index r = 0; r < block.height; ++r) {
        const float* const from =
            p.accumulate || p.add ? p.out[block.row + r] + p.out0 + block.column : p.bias + block.column;
        float* const to = block.sums + r * block.wide;
        for (Index j = 0; j < block.wide; j += lanes<float>) store(to + j, load_first(from + j, left - j));
    }
}

void store_rows(const Product<float>& p, const NarrowBlock& block, Index left) {
    for (Index r = 0; r < block.height; ++r) {
        float* const out = p.out[block.row + r] + p.out0 + block.column;
        const float* const sums = block.sums + r * block.wide;
        for (Index j = 0; j < block.wide && j < left; j += lanes<float>) store_first(out + j, load(sums + j), left - j);
    }
}

}  // namespace

void multiply_narrow_panels(const Product<float>& p, Index begin, Index end) {
    const auto left = [&](const NarrowBlock& block) { return p.columns - block.column; };
    const auto store = [&](const NarrowBlock& block) { store_rows(p, block, left(block)); };
    const auto multiply = [&](auto&& start) {
        for_narrow_panels(p.a, p.a0, {begin, end}, p.panels, p.K, {p.first, p.columns}, p.memory, start, store);
    };
    if (p.accumulate || p.add || p.bias)
        multiply([&](const NarrowBlock& block) { start_rows(p, block, left(block)); });
    else
        multiply(nullptr);
}

void multiply_narrow_gate_panels(const Product<float>& p, Index gates, Range rows, Range units) {
    const Index width = gates == 4 ? strip_vectors<4> : gates, wide = width * lanes<float>;
    const Range strips{units.begin * gates / wide, round_up_to_lanes<float>(units.end) * gates / wide};
    for_narrowed_rows(*p.panels.narrow, p.a, p.a0, p.K, rows, p.memory, [&](const NarrowedRows& narrowed, Range some) {
        for_narrow_groups(
            narrowed, some, p.panels, width, 1, strips,
            [&](const NarrowBlock& block) { start_rows(p, block, block.wide); },
            [&](const NarrowBlock& block) { store_rows(p, block, block.wide); });
    });
}

namespace {

// Adds number `number` of each word, one vector of the column of W that an id stands for, to `start`.
void gather_words(const Panels<float>& panels, const std::uint32_t* words, int number, Index column, const float* start,
                  float* out) {
    if (!panels.narrow->scaled) {
        const Vec<float> pairs = load(reinterpret_cast<const float*>(words));
        return store(out, load(start) + (number == 0 ? lower_halves(pairs) : upper_halves(pairs)));
    }
    for (Index lane = 0; lane < lanes<float>; ++lane) {
        const auto value = static_cast<std::int8_t>(words[lane] >> (8 * number));
        out[lane] = start[lane] + float(value) * panels.scales[column + lane];
    }
}

}  // namespace

void gather_narrow_panels(Index id, float* out, const Panels<float>& panels, const float* bias, Index gates, Index K,
                          Range units) {
    const NarrowKernels& kernels = *panels.narrow;
    const Index deep = words_of(kernels, K), group = kernels.group, per_unit = gates ? gates : 1;
    const Index first = units.begin * per_unit;
    const Index end = (gates ? round_up_to_lanes<float>(units.end) : units.end) * per_unit;
    for (Index column = first; column < end; column += lanes<float>) {
        if (id < 0) {
            store(out + column, load(bias + column));
            continue;
        }
        const Index width = gates == 4 ? strip_vectors<4> : gates ? gates : panel_vectors, wide = width * lanes<float>;
        const Index strip = column / wide * wide;
        // The last strip of plain panels is narrower.
        const Index vectors = gates ? width : std::min(width, (round_up_to_lanes<float>(end) - strip) / lanes<float>);
        const std::uint32_t* const words =
            panels.words() + strip * deep + id / group * vectors * lanes<float> + (column - strip);
        gather_words(panels, words, int(id % group), column, bias + column, out + column);
    }
}

}  // namespace fastrnn

// Weight gradients in bfloat16: both matrices are packed as words of two tokens.
#include "kernels/matrix/narrow_outer_product.hpp"

namespace fastrnn {
namespace {

constexpr Index most_pairs = outer_depth / 2;  // of a packed block

struct PairList {
    TokenPair* list;
    Index count;
};

// Lists pairs from token `k` on; returns the token after them.
Index list_pairs(const Index* row_of, Index k, Index tokens, PairList& pairs) {
    for (pairs.count = 0; pairs.count < most_pairs && k < tokens; ++pairs.count) {
        const bool alone = k + 1 == tokens || (row_of && row_of[k + 1] == 0);
        pairs.list[pairs.count] = {k, alone};
        k += alone ? 1 : 2;
    }
    return k;
}

// Words of some numbers of both tokens of a pair.
void words_of_pair(const NarrowKernels& kernels, const float* const* rows, const TokenPair& pair, Index offset,
                   Index count, float* to) {
    const float* const second = pair.alone ? nullptr : rows[pair.first + 1] + offset;
    kernels.pair(rows[pair.first] + offset, second, count, reinterpret_cast<std::uint32_t*>(to));
}

// Packs columns of B as panels of words.
void pack_word_side(const NarrowKernels& kernels, const OuterSide<float>& side, const PairList& pairs, Range columns,
                    float* to) {
    for_panels<float>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, width = std::min(wide, side.columns - column);
        for (Index k = 0; k < pairs.count; ++k, to += wide) {
            words_of_pair(kernels, side.b, pairs.list[k], column, width, to);
            std::fill(to + width, to + wide, 0.0f);
        }
    });
}

// Packs columns `range` of A as rows of words in the kernels' own form, `stride` bytes apart. `scratch`: a block of
// words of all columns, and where rows need another form, rows of words.
void pack_pair_rows(const NarrowKernels& kernels, const OuterProduct<float>& p, const PairList& pairs, Range range,
                    unsigned char* to, Index stride, float* scratch) {
    constexpr Index n = lanes<float>;
    const bool ready = kernels.word_bytes == sizeof(float);
    const Index count = range.end - range.begin, wide = round_up_to_lanes<float>(count);
    const Index length = ready ? stride / Index(sizeof(float)) : most_pairs;
    float* const rows = ready ? reinterpret_cast<float*>(to) : scratch + n * wide;
    for (Index k = 0; k < pairs.count; k += n) {
        for (Index i = 0; i < n; ++i)
            if (k + i < pairs.count)
                words_of_pair(kernels, p.a, pairs.list[k + i], range.begin, count, scratch + i * wide);
        for (Index m = 0; m < count; m += n) transpose_block(scratch + m, wide, rows + m * length + k, length);
    }
    for (Index m = 0; !ready && m < count; ++m)
        kernels.expand(reinterpret_cast<const std::uint32_t*>(rows + m * length), pairs.count, to + m * stride);
}

// Adds the product of packed blocks to C.
void accumulate_words(const NarrowKernels& kernels, const OuterSide<float>& side, const PairList& pairs, Range rows,
                      Range columns, const unsigned char* a, Index stride, const float* b) {
    alignas(64) float sums[narrow_sums];
    NarrowTile tile{};
    tile.a_stride = stride;
    tile.words = pairs.count;
    tile.sums = sums;
    tile.before = SumsBefore::chains;
    for_panels<float>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, left = side.columns - column, most = kernels.most_rows[vectors];
        tile.strip = reinterpret_cast<const std::uint32_t*>(b + (column - columns.begin) * pairs.count);
        tile.sums_stride = wide;
        for (Index first = rows.begin, blocks = (rows.end - rows.begin + most - 1) / most; first < rows.end; --blocks) {
            const Index height = (rows.end - first + blocks - 1) / blocks;
            for (Index r = 0; r < height; ++r)
                for (Index j = 0; j < wide; j += lanes<float>)
                    store(sums + r * wide + j, load_first(side.row(first + r) + column + j, left - j));
            tile.a = a + (first - rows.begin) * stride;
            kernels.tiles[height][vectors](tile);
            for (Index r = 0; r < height; ++r)
                for (Index j = 0; j < wide && j < left; j += lanes<float>)
                    store_first(side.row(first + r) + column + j, load(sums + r * wide + j), left - j);
            first += height;
        }
    });
}

Index pair_stride(const NarrowKernels& kernels) { return most_pairs * kernels.word_bytes + 64; }

constexpr Index list_size = (most_pairs * Index(sizeof(TokenPair)) + 63) / 64 * 64 / Index(sizeof(float));

Index packed_columns(Index columns) { return round_up_to_lanes<float>(std::min(columns, outer_columns)); }

// Scalars for packing rows of A.
Index pack_scratch(const NarrowKernels& kernels) {
    const Index wide = outer_rows + lanes<float>;
    return lanes<float> * wide + (kernels.word_bytes == sizeof(float) ? 0 : wide * most_pairs);
}

}  // namespace

Index narrow_outer_workspace(const NarrowKernels& kernels, Index columns, Index others) {
    const Index rows = (outer_rows + lanes<float>)*pair_stride(kernels) / Index(sizeof(float));
    return list_size + rows + pack_scratch(kernels) + most_pairs * (packed_columns(columns) + packed_columns(others));
}

void accumulate_narrow_outer(const NarrowKernels& kernels, const OuterProduct<float>& product, const Index* row_of,
                             Range all, float* workspace) {
    const Index stride = pair_stride(kernels);
    PairList pairs{reinterpret_cast<TokenPair*>(workspace), 0};
    auto* const packed_a = reinterpret_cast<unsigned char*>(workspace + list_size);
    float* const words = workspace + list_size + (outer_rows + lanes<float>)*stride / Index(sizeof(float));
    const Index widest = std::max(product.sides[0].columns, product.sides[1].columns);
    for (Index k = 0; k < product.K;) {
        k = list_pairs(row_of, k, product.K, pairs);
        for (Index c0 = 0; c0 < widest; c0 += outer_columns) {
            float* to = words + pack_scratch(kernels);
            const float* packed_b[2];
            Range columns[2];
            for (int i = 0; i < 2; ++i) {
                const OuterSide<float>& side = product.sides[i];
                columns[i] = {std::min(c0, side.columns), std::min(c0 + outer_columns, side.columns)};
                pack_word_side(kernels, side, pairs, columns[i], to);
                packed_b[i] = to;
                to += round_up_to_lanes<float>(columns[i].end - columns[i].begin) * pairs.count;
            }
            for (Index m0 = all.begin; m0 < all.end; m0 += outer_rows) {
                const Range rows{m0, std::min(m0 + outer_rows, all.end)};
                pack_pair_rows(kernels, product, pairs, rows, packed_a, stride, words);
                for (int i = 0; i < 2; ++i)
                    accumulate_words(kernels, product.sides[i], pairs, rows, columns[i], packed_a, stride, packed_b[i]);
            }
        }
    }
}

}  // namespace fastrnn

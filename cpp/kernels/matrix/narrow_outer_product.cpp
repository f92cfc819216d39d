// Weight gradients in bfloat16: both matrices are packed as words of two tokens.
#include "kernels/matrix/narrow_outer_product.hpp"

namespace fastrnn {
namespace {

constexpr Index most_pairs = outer_depth / 2;  // of a packed block

// Some rows of A and B in pairs, the last one perhaps alone. A word has the earlier row where its product is added
// first: so every sum is one chain over the rows in their order, wherever blocks begin.
struct RowPairs {
    Index rows, count;

    explicit RowPairs(Index rows_) : rows(rows_), count((rows_ + 1) / 2) {}

    // Words of some numbers of both rows of a pair.
    void round(const NarrowKernels& kernels, const float* const* from, Index pair, Index offset, Index width,
               float* to) const {
        const float* const later = 2 * pair + 1 < rows ? from[2 * pair + 1] + offset : nullptr;
        kernels.pair(from[2 * pair] + offset, later, width, reinterpret_cast<std::uint32_t*>(to));
    }
};

// Packs columns of B as panels of words.
void pack_word_side(const NarrowKernels& kernels, const OuterSide<float>& side, const RowPairs& pairs, Range columns,
                    float* to) {
    for_panels<float>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, width = std::min(wide, side.columns - column);
        for (Index k = 0; k < pairs.count; ++k, to += wide) {
            pairs.round(kernels, side.b, k, column, width, to);
            std::fill(to + width, to + wide, 0.0f);
        }
    });
}

// Packs columns `range` of A as rows of words in the kernels' own form, `stride` bytes apart. `scratch`: a block of
// words of all columns, and where rows need another form, rows of words.
void pack_pair_rows(const NarrowKernels& kernels, const OuterProduct<float>& p, const RowPairs& pairs, Range range,
                    unsigned char* to, Index stride, float* scratch) {
    constexpr Index n = lanes<float>;
    const bool ready = kernels.word_bytes == sizeof(float);
    const Index count = range.end - range.begin, wide = round_up_to_lanes<float>(count);
    const Index length = ready ? stride / Index(sizeof(float)) : most_pairs;
    float* const rows = ready ? reinterpret_cast<float*>(to) : scratch + n * wide;
    for (Index k = 0; k < pairs.count; k += n) {
        for (Index i = 0; i < n; ++i)
            if (k + i < pairs.count) pairs.round(kernels, p.a, k + i, range.begin, count, scratch + i * wide);
        for (Index m = 0; m < count; m += n) transpose_block(scratch + m, wide, rows + m * length + k, length);
    }
    for (Index m = 0; !ready && m < count; ++m)
        kernels.expand(reinterpret_cast<const std::uint32_t*>(rows + m * length), pairs.count, to + m * stride);
}

// Copies what is left of some rows of C, from `column` on, to whole vectors.
void copy_sums(const OuterSide<float>& side, Index first, Index height, Index column, float* sums, Index wide) {
    for (Index r = 0; r < height; ++r)
        for (Index j = 0; j < wide; j += lanes<float>)
            store(sums + r * wide + j, load_first(side.row(first + r) + column + j, side.columns - column - j));
}

// Adds the product of packed blocks to C.
void accumulate_words(const NarrowKernels& kernels, const OuterSide<float>& side, const RowPairs& pairs, Range rows,
                      Range columns, const unsigned char* a, Index stride, const float* b) {
    alignas(64) float sums[narrow_sums];
    NarrowTile tile{};
    tile.a_stride = stride;
    tile.words = pairs.count;
    tile.before = SumsBefore::chains;
    for_panels<float>(columns.begin, columns.end, [&](auto vectors, Index column) {
        const Index wide = vectors * lanes<float>, left = side.columns - column;
        tile.strip = reinterpret_cast<const std::uint32_t*>(b + (column - columns.begin) * pairs.count);
        for_even_blocks(rows, kernels.most_rows[vectors], [&](Index first, Index height) {
            tile.a = a + (first - rows.begin) * stride;
            const bool whole = left >= wide;
            tile.sums = whole ? side.row(first) + column : sums;
            tile.sums_stride = whole ? side.columns : wide;
            if (!whole) copy_sums(side, first, height, column, sums, wide);
            kernels.tiles[height][vectors](tile);
            for (Index r = 0; !whole && r < height; ++r)
                std::copy_n(sums + r * wide, left, side.row(first + r) + column);
        });
    });
}

Index pair_stride(const NarrowKernels& kernels) { return most_pairs * kernels.word_bytes + 64; }

Index packed_columns(Index columns) { return round_up_to_lanes<float>(std::min(columns, outer_columns)); }

// Scalars for packing rows of A.
Index pack_scratch(const NarrowKernels& kernels) {
    const Index wide = outer_rows + lanes<float>;
    return lanes<float> * wide + (kernels.word_bytes == sizeof(float) ? 0 : wide * most_pairs);
}

}  // namespace

Index narrow_outer_workspace(const NarrowKernels& kernels, Index columns, Index others) {
    const Index rows = (outer_rows + lanes<float>)*pair_stride(kernels) / Index(sizeof(float));
    return rows + pack_scratch(kernels) + most_pairs * (packed_columns(columns) + packed_columns(others));
}

void accumulate_narrow_outer(const NarrowKernels& kernels, const OuterProduct<float>& product, Range all,
                             float* workspace) {
    const Index stride = pair_stride(kernels);
    auto* const packed_a = reinterpret_cast<unsigned char*>(workspace);
    float* const words = workspace + (outer_rows + lanes<float>)*stride / Index(sizeof(float));
    const Index widest = std::max(product.sides[0].columns, product.sides[1].columns);
    for (Index k0 = 0; k0 < product.K; k0 += outer_depth) {
        OuterProduct<float> p = product;
        p.a += k0;
        for (OuterSide<float>& side : p.sides)
            if (side.b) side.b += k0;
        const RowPairs pairs(std::min(outer_depth, product.K - k0));
        for (Index c0 = 0; c0 < widest; c0 += outer_columns) {
            float* to = words + pack_scratch(kernels);
            const float* packed_b[2];
            Range columns[2];
            for (int i = 0; i < 2; ++i) {
                const OuterSide<float>& side = p.sides[i];
                columns[i] = {std::min(c0, side.columns), std::min(c0 + outer_columns, side.columns)};
                pack_word_side(kernels, side, pairs, columns[i], to);
                packed_b[i] = to;
                to += round_up_to_lanes<float>(columns[i].end - columns[i].begin) * pairs.count;
            }
            for (Index m0 = all.begin; m0 < all.end; m0 += outer_rows) {
                const Range rows{m0, std::min(m0 + outer_rows, all.end)};
                pack_pair_rows(kernels, p, pairs, rows, packed_a, stride, words);
                for (int i = 0; i < 2; ++i)
                    accumulate_words(kernels, p.sides[i], pairs, rows, columns[i], packed_a, stride, packed_b[i]);
            }
        }
    }
}

}  // namespace fastrnn

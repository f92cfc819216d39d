// Products of floats with packed weights of fewer bits: rows are narrowed, blocks of them multiplied with all strips.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "kernels/matrix/panels.hpp"
#include "kernels/matrix/tiling.hpp"

namespace fastrnn {

// As many rows of a as fit the memory, narrowed.
class NarrowedRows {
   public:
    NarrowedRows(const NarrowKernels& kernels, Index K, const NarrowMemory& memory)
        : kernels_(kernels), K_(K), stride_(narrow_stride(kernels, K)) {
        most_ = std::max<Index>(1, (memory.bytes - 64) / (stride_ + Index(sizeof(float))));
        scales_ = reinterpret_cast<float*>(memory.at);
        rows_ = memory.at + (most_ * Index(sizeof(float)) + 63) / 64 * 64;
    }

    Index most() const { return most_; }
    Index words() const { return words_of(kernels_, K_); }
    // Narrows K numbers from `offset` on of rows begin .. end-1.
    void fill(const float* const* a, Index offset, Range range) {
        begin_ = range.begin;
        for (Index row = range.begin; row < range.end; ++row)
            kernels_.narrow(a[row] + offset, K_, rows_ + (row - begin_) * stride_, scales_ + (row - begin_));
    }
    // What a tile reads of the rows from `row` on.
    NarrowTile tile(Index row) const {
        NarrowTile tile{};
        tile.a = rows_ + (row - begin_) * stride_;
        tile.a_stride = stride_;
        tile.row_scales = scales_ + (row - begin_);
        tile.words = words();
        return tile;
    }

   private:
    const NarrowKernels& kernels_;
    Index K_, stride_, most_, begin_ = 0;
    float* scales_;
    unsigned char* rows_;
};

// Points a tile to the strip that begins with `column`.
inline void point_strip(NarrowTile& tile, const Panels<float>& panels, Index column, Index width) {
    tile.strip = panels.words() + column * tile.words;
    tile.strip_stride = width * lanes<float> * tile.words;
    tile.column_scales = panels.scales ? panels.scales + column : nullptr;
    tile.corrections = panels.corrections ? panels.corrections + column : nullptr;
}

// Most scalars of the sums of a tile, skinny or not.
inline constexpr Index narrow_sums = narrow_most_rows * narrow_most_width * lanes<float>;

// Calls f(narrowed, rows) for blocks of rows whose K numbers from a0 on fit the memory.
template <class F>
FASTRNN_INLINE void for_narrowed_rows(const NarrowKernels& kernels, const float* const* a, Index a0, Index K,
                                      Range rows, const NarrowMemory& memory, F&& f) {
    NarrowedRows narrowed(kernels, K, memory);
    for (Index begin = rows.begin; begin < rows.end; begin += narrowed.most()) {
        const Range block{begin, std::min(begin + narrowed.most(), rows.end)};
        narrowed.fill(a, a0, block);
        f(std::as_const(narrowed), block);
    }
}

// Calls f(first row, height) for blocks of almost equal height, at most `most`.
template <class F>
FASTRNN_INLINE void for_even_blocks(Range rows, Index most, F&& f) {
    for (Index first = rows.begin, blocks = (rows.end - rows.begin + most - 1) / most; first < rows.end; --blocks) {
        const Index height = (rows.end - first + blocks - 1) / blocks;
        f(first, height);
        first += height;
    }
}

// The sums of some rows and columns: `height` rows of `wide` sums, from column `column` on.
struct NarrowBlock {
    Index row, height, column, wide;
    float* sums;
};

// Calls f(block) with the sums of each tile of narrowed rows and groups of strips: a group is `per_group` strips of
// `width` vectors. If `start` is a function, it fills a block with what the tile's sums are added to; what it reads
// arrives while the tile is computed.
template <class Start, class F>
FASTRNN_INLINE void for_narrow_groups(const NarrowedRows& narrowed, Range rows, const Panels<float>& panels,
                                      Index width, Index per_group, Range groups, Start&& start, F&& f) {
    constexpr bool starts = !std::is_same_v<std::decay_t<Start>, std::nullptr_t>;
    const NarrowKernels& kernels = *panels.narrow;
    const Index strip = width * lanes<float>, all = strip * per_group, count = rows.end - rows.begin;
    alignas(64) float sums[narrow_sums];
    // A kernel computes `strips` strips of the block at once.
    const auto multiply = [&](MultiplyTile kernel, const NarrowBlock& block, Index strips) {
        if constexpr (starts) start(block);
        NarrowTile tile = narrowed.tile(block.row);
        tile.sums_stride = block.wide;
        tile.before = starts ? SumsBefore::start : SumsBefore::none;
        for (Index j = 0; j < block.wide; j += strips * strip) {
            point_strip(tile, panels, block.column + j, width);
            tile.sums = block.sums + j;
            kernel(tile);
        }
        f(block);
    };
    Index group = groups.begin;
    if (count <= narrow_skinny_rows) {
        const Index side = kernels.side[count][width], some = side / per_group;
        for (; side > 1 && some * per_group == side && group + some <= groups.end; group += some)
            multiply(kernels.skinny[count][width], {rows.begin, count, group * all, some * all, sums}, side);
    }
    for (; group < groups.end; ++group)
        for_even_blocks(rows, kernels.most_rows[width], [&](Index first, Index height) {
            multiply(kernels.tiles[height][width], {first, height, group * all, all, sums}, 1);
        });
}

// The same with plain panels.
template <class Start, class F>
FASTRNN_INLINE void for_narrow_panels(const float* const* a, Index a0, Range rows, const Panels<float>& panels, Index K,
                                      Range columns, const NarrowMemory& memory, Start&& start, F&& f) {
    constexpr bool starts = !std::is_same_v<std::decay_t<Start>, std::nullptr_t>;
    constexpr Index wide = panel_vectors * lanes<float>;
    const Index first = columns.begin / wide, vectors = (columns.end - columns.begin + lanes<float> - 1) / lanes<float>;
    const Index whole = vectors / panel_vectors, rest = vectors % panel_vectors;
    for_narrowed_rows(*panels.narrow, a, a0, K, rows, memory, [&](const NarrowedRows& narrowed, Range some) {
        for_narrow_groups(narrowed, some, panels, panel_vectors, 1, {first, first + whole}, start, f);
        if (rest == 0) return;
        const Index column = (first + whole) * wide;  // a narrower strip, the only one of its width
        Panels<float> last = panels;
        last.scalars += column * narrowed.words();
        if (last.scales) last.scales += column, last.corrections += column;
        const auto moved = [&](auto&& call) {
            return [&](NarrowBlock block) {
                block.column += column;
                call(block);
            };
        };
        if constexpr (starts)
            for_narrow_groups(narrowed, some, last, rest, 1, {0, 1}, moved(start), moved(f));
        else
            for_narrow_groups(narrowed, some, last, rest, 1, {0, 1}, nullptr, moved(f));
    });
}

// What for_gate_tiles does, with panels of fewer bits: every sum is added to what its tile starts with.
template <int Gates, class Start, class Epilogue>
EIGEN_DONT_INLINE void for_narrow_gate_tiles(const float* const* a, Range rows, Range units,
                                             const Panels<float>& panels, Index K, const NarrowMemory& memory,
                                             Start&& start, Epilogue&& epilogue) {
    constexpr int width = strip_vectors<Gates>;
    constexpr Index all = Gates * lanes<float>;
    const Range groups{units.begin / lanes<float>, (units.end + lanes<float> - 1) / lanes<float>};
    const auto begin = [&](const NarrowBlock& block) {
        with_constant<narrow_most_rows>(block.height, [&](auto tall) {
            for (Index j = 0; j < block.wide; j += width * lanes<float>) {
                Tile<float, tall, width> tile;
                start(tile, block.row, (block.column + j) / all * lanes<float>, int(j % all / lanes<float>));
                tile.store_block(block.sums + j, block.wide);
            }
        });
    };
    const auto finish = [&](const NarrowBlock& block) {
        for (Index j = 0; j < block.wide; j += all)
            epilogue(block.sums + j, block.wide, block.height, block.row, (block.column + j) / all * lanes<float>);
    };
    for_narrowed_rows(*panels.narrow, a, 0, K, rows, memory, [&](const NarrowedRows& narrowed, Range some) {
        for_narrow_groups(narrowed, some, panels, width, Gates / width, groups, begin, finish);
    });
}

}  // namespace fastrnn

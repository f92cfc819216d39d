// Products of numbers of fewer bits than a float: a table of functions for each precision and way to compute it.
//
// A word holds a group of neighbours along the depth of a product: two bfloat16 or four int8. Weights are panels of
// words, in the layout of packing.hpp with words for scalars. 16 words of 16 columns are a tile of the CPU's matrix
// unit (16 rows of 64 bytes), so these panels would serve it too.
//
// Every element is one sum in one order: of bfloat16 a chain of float multiply-adds, the second number of each word
// first, as VDPBF16PS has it, and a product of two bfloat16 is exact; of int8 an exact sum in int32, times two scales.
// So all instruction sets give the same bits.
//
// A source with flags of its own includes this: nothing here may bring code from elsewhere (vector/native_kernels.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastrnn {

// What a tile does with the sums in memory: it overwrites them, adds its own to them, or (bfloat16) continues their
// chains.
enum class SumsBefore : unsigned char { none, start, chains };

// Some rows of words times one strip of weights, or several side by side.
struct NarrowTile {
    const unsigned char* a;              // rows in the table's own form, from its `narrow` or `expand`
    std::ptrdiff_t a_stride;             // bytes from a row to the next
    const float* row_scales;             // int8 only, like column_scales and corrections
    const std::uint32_t* strip;          // [words][width][lanes]
    std::ptrdiff_t strip_stride, words;  // words from a strip to the next; words of the depth
    const float* column_scales;          // [strips][width][lanes]
    const std::int32_t* corrections;     // what a sum starts with, see NarrowKernels
    float* sums;                         // [rows][strips * width * lanes]
    std::ptrdiff_t sums_stride;
    SumsBefore before;  // what is in `sums`
};

using MultiplyTile = void (*)(const NarrowTile&);

inline constexpr int narrow_most_rows = 6, narrow_most_width = 4, narrow_skinny_rows = 2;

struct NarrowKernels {
    int group;       // numbers of a word
    int word_bytes;  // of a word of a row
    bool scaled;     // int8: rows and columns have scales
    int offset;      // added to each number of a row; a sum starts with -offset times the sum of its column
    // Narrows K numbers of a row to words, with zeros after the last; writes `scale` if scaled.
    void (*narrow)(const float* from, std::ptrdiff_t K, unsigned char* to, float* scale);
    // Rounds `count` numbers of two rows to words of bfloat16, those of `earlier` being multiplied first, with zeros in
    // the place of `later` if that is null; null if scaled.
    void (*pair)(const float* earlier, const float* later, std::ptrdiff_t count, std::uint32_t* to);
    // Brings words of bfloat16 into the form of a row; null if scaled.
    void (*expand)(const std::uint32_t* words, std::ptrdiff_t count, unsigned char* to);
    // By rows and width of a strip in vectors; `skinny`: of `side` strips at once.
    int most_rows[narrow_most_width + 1];
    int side[narrow_skinny_rows + 1][narrow_most_width + 1];
    MultiplyTile tiles[narrow_most_rows + 1][narrow_most_width + 1];
    MultiplyTile skinny[narrow_skinny_rows + 1][narrow_most_width + 1];
};

// The tables of a module: computed with what the module is compiled for, and with the CPU's own instructions for such
// numbers; null if this build has none.
const NarrowKernels& widened_bfloat16();
const NarrowKernels& widened_int8();
const NarrowKernels* native_bfloat16();
const NarrowKernels* native_int8();

}  // namespace fastrnn

// The batch as the loop over time sees it: rows sorted by length, and where each step's data lie.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/runtime/interrupt.hpp"

namespace fastrnn {

// Which rows run at which step, and where their data lie in an array [T, N, width].
struct RaggedBatch {
    Index T, N;
    bool reverse;         // each row runs from its own end to its beginning
    const Index* order;   // [N] the rows, longest first
    const Index* length;  // [N] their lengths, in that order
    const bool* reset;    // [T, N] or null: the row restarts from its initial state at this time

    Index steps() const { return N > 0 ? length[0] : 0; }

    Index tokens() const {
        Index sum = 0;
        for (Index row = 0; row < N; ++row) sum += length[row];
        return sum;
    }

    // The end of the rows of begin .. end-1 that still run at `step`.
    Index active(Index step, Index begin, Index end) const {
        while (end > begin && length[end - 1] <= step) --end;
        return end;
    }

    Index at(Index step, Index row) const { return (reverse ? length[row] - 1 - step : step) * N + order[row]; }

    // Does the row restart at this step from the state that its sequence began with?
    bool resets(Index step, Index row) const { return reset && reset[at(step, row)]; }

    bool starts(Index step, Index row) const { return step == 0 || resets(step, row); }

    // Steps since the row last started, at most `limit`.
    Index steps_since_start(Index step, Index row, Index limit) const {
        for (Index k = 0; k < limit; ++k)
            if (starts(step - k, row)) return k;
        return limit;
    }

    // The rows of one of several pieces: almost equal shares of the tokens.
    Range rows(Index piece, Index pieces) const {
        const Index total = tokens();
        Range range{N, N};
        Index before = 0;
        for (Index row = 0; row < N; ++row) {
            const Index owner = std::min<Index>(pieces - 1, before * pieces / total);
            if (owner == piece && range.begin == N) range.begin = row;
            if (owner > piece) {
                range.end = row;
                break;
            }
            before += length[row];
        }
        if (range.begin == N) range.end = N;
        return range;
    }

    // Tokens of the steps begin .. end-1.
    Index tokens(Index begin, Index end) const {
        Index sum = 0;
        for (Index step = begin, running = N; step < end; ++step) sum += running = active(step, 0, running);
        return sum;
    }
};

// Steps of a chunk: as many as fill `scalars` with tokens of `width` scalars, within min_tokens .. max_tokens; at least
// one.
inline Index chunk_steps(const RaggedBatch& batch, Index width, Index scalars, Index min_tokens, Index max_tokens) {
    const Index tokens = std::min(std::max(scalars / std::max<Index>(width, 1), min_tokens), max_tokens);
    return std::max<Index>(1, std::min(batch.steps(), tokens / std::max<Index>(batch.N, 1)));
}

// Steps whose inputs are multiplied at once.
inline Index input_chunk_steps(const RaggedBatch& batch, Index gx_width) {
    return chunk_steps(batch, gx_width, Index(1) << 16, 256, 1024);
}

// Steps of a link of a wave: few, because the next pass waits for the first link, but enough for their tokens to fill
// some tiles.
inline Index wave_steps(const RaggedBatch& batch) {
    return std::max<Index>(1, std::max(batch.steps() / 16, 6 / std::max<Index>(batch.N, 1)));
}

// Steps after which to poll for an interrupt.
inline Index steps_between_checks(Index N, Index H, Index width) {
    return Index(std::max(1.0, Interrupt::interval / (double(N) * double(H) * double(std::max<Index>(width, 1)))));
}

// Either x [T, N, D] or ids [T, N]; the other is null. Ids 0 .. D-1 stand for rows of the identity, -1 for zeros.
template <class S>
struct Input {
    const S* x;
    const std::int64_t* ids;
    Index D;
};

}  // namespace fastrnn

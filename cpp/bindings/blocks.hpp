// Memory of results. The system gives large blocks as pages that fault one by one when first written to, and takes them
// back when they are freed: for a small layer a quarter of a call. So blocks that arrays give up are kept for the next
// results, up to a limit.
#pragma once

#include <cstddef>

namespace fastrnn::bindings {

// A block aligned to a cache line, its contents whatever they were; OutOfMemory where there is none.
struct Block {
    void* memory;
    std::size_t bytes;
};

Block take_block(std::size_t bytes);
void give_block(Block block) noexcept;

}  // namespace fastrnn::bindings

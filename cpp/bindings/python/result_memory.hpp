// Memory of results and of packed weights. The system gives large blocks as pages that fault one by one when first
// written to, and takes them back when they are freed: for a small layer a quarter of a call. So blocks that arrays
// give up are kept for the next results, up to a limit.
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

// A block that is given back with its owner.
class OwnedBlock {
   public:
    explicit OwnedBlock(std::size_t bytes) : block_(take_block(bytes)) {}
    OwnedBlock(OwnedBlock&& other) noexcept : block_(other.block_) { other.block_.memory = nullptr; }
    OwnedBlock& operator=(OwnedBlock&&) = delete;
    ~OwnedBlock() {
        if (block_.memory) give_block(block_);
    }

    void* get() const { return block_.memory; }

   private:
    Block block_;
};

}  // namespace fastrnn::bindings

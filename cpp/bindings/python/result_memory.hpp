// Memory of results and packed weights. The system maps large blocks as pages that fault one by one on first write, and
// unmaps them when freed: a quarter of a call for a small layer. So released blocks are cached for later results, up to
// a limit.
#pragma once

#include <cstddef>

namespace fastrnn::bindings {

// Uninitialised memory, aligned to a cache line. acquire_block throws OutOfMemory, whose message has `what` and
// `advice`.
struct MemoryBlock {
    void* memory;
    std::size_t bytes;
};

MemoryBlock acquire_block(std::size_t bytes, const char* what, const char* advice);
void release_block(MemoryBlock block) noexcept;

// A block that is released with its owner.
class OwnedBlock {
   public:
    OwnedBlock(std::size_t bytes, const char* what, const char* advice) : block_(acquire_block(bytes, what, advice)) {}
    OwnedBlock(OwnedBlock&& other) noexcept : block_(other.block_) { other.block_.memory = nullptr; }
    OwnedBlock& operator=(OwnedBlock&&) = delete;
    ~OwnedBlock() {
        if (block_.memory) release_block(block_);
    }

    void* get() const { return block_.memory; }

   private:
    MemoryBlock block_;
};

}  // namespace fastrnn::bindings

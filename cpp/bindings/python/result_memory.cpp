// The cache of released blocks of result memory.
#include "bindings/python/result_memory.hpp"

#include <mutex>

#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {
namespace {

// Released blocks, oldest first. A thread that finds the cache locked does without it: no thread waits, nor does a
// child forked while it was locked.
class BlockCache {
   public:
    // Returns a block of `bytes` or slightly more; null if none is cached.
    MemoryBlock take(std::size_t bytes) {
        const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
        if (!lock) return {nullptr, 0};
        for (int i = count_ - 1; i >= 0; --i)
            if (blocks_[i].bytes >= bytes && blocks_[i].bytes - bytes <= bytes / 8) return remove(i);
        return {nullptr, 0};
    }

    // Caches the block in place of older ones; frees what is not cached.
    void put(MemoryBlock block) {
        const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
        if (!lock || block.bytes > max_bytes) return release(block);
        while (count_ == max_blocks || bytes_ + block.bytes > max_bytes) release(remove(0));
        blocks_[count_++] = block;
        bytes_ += block.bytes;
    }

   private:
    static constexpr int max_blocks = 32;
    static constexpr std::size_t max_bytes = std::size_t(256) << 20;

    static void release(MemoryBlock block) { AlignedDelete()(block.memory); }

    MemoryBlock remove(int index) {
        const MemoryBlock block = blocks_[index];
        for (int i = index + 1; i < count_; ++i) blocks_[i - 1] = blocks_[i];
        --count_;
        bytes_ -= block.bytes;
        return block;
    }

    std::mutex busy_;
    MemoryBlock blocks_[max_blocks];
    int count_ = 0;
    std::size_t bytes_ = 0;
};

// Never destroyed: arrays may outlive all else.
BlockCache& block_cache() {
    static BlockCache* const blocks = new BlockCache;
    return *blocks;
}

}  // namespace

MemoryBlock acquire_block(std::size_t bytes, const char* what, const char* advice) {
    const MemoryBlock cached = block_cache().take(bytes);
    if (cached.memory) return cached;
    return {allocate_aligned<char>(Index(bytes), what, advice).release(), bytes};
}

void release_block(MemoryBlock block) noexcept { block_cache().put(block); }

}  // namespace fastrnn::bindings

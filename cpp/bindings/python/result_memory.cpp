#include "bindings/python/result_memory.hpp"

#include <mutex>

#include "kernels/runtime/workspace.hpp"

namespace fastrnn::bindings {
namespace {

// The blocks kept, the last one given first. Whoever finds the list in use does without it: nobody waits, and a child
// that was forked in the meantime does not either.
class KeptBlocks {
   public:
    // A block of `bytes` or a little more; null where none is kept.
    Block take(std::size_t bytes) {
        const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
        if (!lock) return {nullptr, 0};
        for (int i = count_ - 1; i >= 0; --i)
            if (blocks_[i].bytes >= bytes && blocks_[i].bytes - bytes <= bytes / 8) return remove(i);
        return {nullptr, 0};
    }

    // Keeps the block in place of older ones; gives back what is not kept.
    void give(Block block) {
        const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
        if (!lock || block.bytes > most_bytes) return release(block);
        while (count_ == most || kept_ + block.bytes > most_bytes) release(remove(0));
        blocks_[count_++] = block;
        kept_ += block.bytes;
    }

   private:
    static constexpr int most = 32;
    static constexpr std::size_t most_bytes = std::size_t(256) << 20;

    static void release(Block block) { AlignedDelete()(block.memory); }

    Block remove(int index) {
        const Block block = blocks_[index];
        for (int i = index + 1; i < count_; ++i) blocks_[i - 1] = blocks_[i];
        --count_;
        kept_ -= block.bytes;
        return block;
    }

    std::mutex busy_;
    Block blocks_[most];
    int count_ = 0;
    std::size_t kept_ = 0;
};

// Never destroyed: arrays may outlive everything else.
KeptBlocks& kept_blocks() {
    static KeptBlocks* const blocks = new KeptBlocks;
    return *blocks;
}

}  // namespace

Block take_block(std::size_t bytes) {
    const Block kept = kept_blocks().take(bytes);
    if (kept.memory) return kept;
    return {allocate_aligned<char>(Index(bytes)).release(), bytes};
}

void give_block(Block block) noexcept { kept_blocks().give(block); }

}  // namespace fastrnn::bindings

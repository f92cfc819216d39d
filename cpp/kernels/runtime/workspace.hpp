// Scratch memory that the caller lends to a kernel: grow-only, aligned, reused from call to call.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels/vector/simd.hpp"

namespace fastrnn {

// Says how many bytes could not be had.
class OutOfMemory : public std::bad_alloc {
   public:
    explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
    const char* what() const noexcept override { return message_.c_str(); }

   private:
    std::string message_;
};

inline constexpr std::size_t alignment = 64;

struct AlignedDelete {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t(alignment)); }
};

// Large memory asks the system for huge pages: fewer faults, and fewer misses of the page table. Where it is refused,
// ordinary pages serve.
inline void prefer_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
    constexpr std::size_t page = 4096, least = std::size_t(4) << 20;
    if (bytes < least) return;
    const std::size_t skipped = (page - reinterpret_cast<std::uintptr_t>(memory) % page) % page;
    madvise(static_cast<char*>(memory) + skipped, (bytes - skipped) / page * page, MADV_HUGEPAGE);
#endif
}

// `count` scalars, aligned to a cache line, not initialised.
template <class S>
std::unique_ptr<S[], AlignedDelete> allocate_aligned(Index count) {
    if (count < 0 || std::size_t(count) > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(S))
        throw OutOfMemory("cannot allocate an array of " + std::to_string(count) + " elements: its size overflows");
    const std::size_t bytes = std::size_t(count) * sizeof(S);
    void* p = ::operator new(bytes ? bytes : 1, std::align_val_t(alignment), std::nothrow);
    if (!p) throw OutOfMemory("cannot allocate " + std::to_string(bytes) + " bytes");
    prefer_huge_pages(p, bytes);
    return std::unique_ptr<S[], AlignedDelete>(static_cast<S*>(p));
}

// Hands out pieces; all are given back together when the next Workspace::Scope begins.
class Workspace {
   public:
    template <class S>
    S* take(Index count) {
        const std::size_t bytes = (std::size_t(count) * sizeof(S) + alignment - 1) / alignment * alignment;
        if (blocks_.empty() || used_ + bytes > blocks_.back().size) grow(bytes);
        char* piece = blocks_.back().memory.get() + used_;
        used_ += bytes;
        total_ += bytes;
        return reinterpret_cast<S*>(piece);
    }

    // Gives everything back; several blocks are joined into one that would have served them all.
    void reset() {
        if (blocks_.size() > 1) {
            blocks_.clear();
            grow(total_);
        }
        used_ = total_ = 0;
    }

   private:
    struct Block {
        std::unique_ptr<char[], AlignedDelete> memory;
        std::size_t size;
    };

    void grow(std::size_t bytes) {
        const std::size_t size = bytes < minimum ? minimum : bytes;
        blocks_.push_back({allocate_aligned<char>(Index(size)), size});
        used_ = 0;
    }

    static constexpr std::size_t minimum = std::size_t(1) << 16;
    std::vector<Block> blocks_;
    std::size_t used_ = 0, total_ = 0;
};

}  // namespace fastrnn

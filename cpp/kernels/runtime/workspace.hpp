// Scratch memory that the caller lends to a kernel: it only grows, is aligned, and is reused from call to call.
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

// Its message says what could not be allocated, how many bytes it takes, and what to reduce.
class OutOfMemory : public std::bad_alloc {
   public:
    explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
    const char* what() const noexcept override { return message_.c_str(); }

   private:
    std::string message_;
};

inline OutOfMemory out_of_memory(const std::string& what, double bytes, const std::string& advice) {
    const auto digits = [](double value, std::size_t decimals) {
        const std::string text = std::to_string(value);
        return text.substr(0, text.find_first_of(".,") + (decimals ? decimals + 1 : 0));
    };
    const std::string gigabytes = bytes >= 1e8 ? " (" + digits(bytes / 1e9, 1) + " GB)" : "";
    return OutOfMemory(what + ": cannot allocate " + digits(bytes, 0) + " bytes" + gigabytes +
                       (advice.empty() ? "" : "; " + advice));
}

// What makes the arrays of a pass smaller.
inline constexpr const char* fewer_tokens = "use fewer sequences or fewer steps at a time, or a smaller layer";

inline constexpr std::size_t alignment = 64;

struct AlignedDelete {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t(alignment)); }
};

// Requests huge pages for large allocations: fewer page faults and TLB misses. If refused, ordinary pages remain.
inline void prefer_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
    constexpr std::size_t page = 4096, least = std::size_t(4) << 20;
    if (bytes < least) return;
    const std::size_t offset = (page - reinterpret_cast<std::uintptr_t>(memory) % page) % page;
    madvise(static_cast<char*>(memory) + offset, (bytes - offset) / page * page, MADV_HUGEPAGE);
#endif
}

// Allocates `count` scalars, aligned to a cache line, not initialised. `what` and `advice` are for the message.
template <class S>
std::unique_ptr<S[], AlignedDelete> allocate_aligned(Index count, const char* what, const char* advice) {
    if (count < 0 || std::size_t(count) > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(S))
        throw OutOfMemory(std::string(what) + ": cannot allocate an array of " + std::to_string(count) +
                          " elements: its size overflows; " + advice);
    const std::size_t bytes = std::size_t(count) * sizeof(S);
    void* p = ::operator new(bytes ? bytes : 1, std::align_val_t(alignment), std::nothrow);
    if (!p) throw out_of_memory(what, double(bytes), advice);
    prefer_huge_pages(p, bytes);
    return std::unique_ptr<S[], AlignedDelete>(static_cast<S*>(p));
}

// A stack of allocations, all freed at once by reset().
class Workspace {
   public:
    template <class S>
    S* take(Index count) {
        const std::size_t bytes = (std::size_t(count) * sizeof(S) + alignment - 1) / alignment * alignment;
        if (slabs_.empty() || used_ + bytes > slabs_.back().size) grow(bytes);
        char* piece = slabs_.back().memory.get() + used_;
        used_ += bytes;
        total_ += bytes;
        return reinterpret_cast<S*>(piece);
    }

    // Frees everything, and replaces several slabs by one large enough for all of it.
    void reset() {
        if (slabs_.size() > 1) {
            slabs_.clear();
            grow(total_);
        }
        used_ = total_ = 0;
    }

   private:
    struct Slab {
        std::unique_ptr<char[], AlignedDelete> memory;
        std::size_t size;
    };

    void grow(std::size_t bytes) {
        const std::size_t size = bytes < min_slab ? min_slab : bytes;
        slabs_.push_back({allocate_aligned<char>(Index(size), "scratch memory", fewer_tokens), size});
        used_ = 0;
    }

    static constexpr std::size_t min_slab = std::size_t(1) << 16;
    std::vector<Slab> slabs_;
    std::size_t used_ = 0, total_ = 0;
};

}  // namespace fastrnn

// Handles of models and streams. They are numbers in the form of pointers, looked up in a table whose memory is never
// freed, so that any number may be looked up at any time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace fastrnn::c {

template <class T>
class Handles {
   public:
    // A place for one object after another. Its generation is odd while there is one.
    struct Slot {
        std::atomic<std::uintptr_t> generation{0};
        std::atomic<bool> busy{false};
        T object{};
    };

    // `kind`: 1 to 3, different for each type of handle.
    explicit Handles(std::uintptr_t kind) : kind_(kind) {}

    // Stores an object and returns its handle, never 0. Throws std::bad_alloc if memory or numbers end.
    std::uintptr_t open(T object) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (free_.empty()) grow();
        const std::uintptr_t index = free_.back();
        free_.pop_back();
        Slot& slot = *at(index);
        slot.object = std::move(object);
        const std::uintptr_t generation = slot.generation.load(std::memory_order_relaxed) + 1;
        slot.generation.store(generation, std::memory_order_release);
        return (generation << index_bits | index) << 2 | kind_;
    }

    // The place of an open handle, else null. Waits for nobody: it may be closed a moment later.
    Slot* find(std::uintptr_t handle) const {
        if ((handle & 3) != kind_) return nullptr;
        const std::uintptr_t index = handle >> 2 & (capacity - 1);
        Slot* const slot = at(index);
        return slot && is_open(*slot, handle) ? slot : nullptr;
    }

    static bool is_open(const Slot& slot, std::uintptr_t handle) {
        const std::uintptr_t generation = slot.generation.load(std::memory_order_acquire);
        return (generation & 1) && (generation << (index_bits + 2)) >> (index_bits + 2) == handle >> (index_bits + 2);
    }

    // Takes the object out, and frees the slot. The caller holds the lock, and the slot's `busy` if others may want it.
    T close(Slot& slot, std::uintptr_t handle) {
        T object = std::move(slot.object);
        slot.object = T{};
        slot.generation.fetch_add(1, std::memory_order_release);
        slot.busy.store(false, std::memory_order_release);  // before anyone gets the slot anew
        free_.push_back(handle >> 2 & (capacity - 1));      // has room: see grow
        return object;
    }

    std::mutex& mutex() { return mutex_; }

   private:
    static constexpr int index_bits = sizeof(std::uintptr_t) > 4 ? 20 : 14;
    static constexpr std::uintptr_t capacity = std::uintptr_t(1) << index_bits;
    static constexpr std::uintptr_t block = 64;  // the first slots; every further block doubles their number
    static constexpr int blocks = index_bits - 5;

    // Slots 0 .. 63 are in block 0, 64 .. 127 in block 1, 128 .. 255 in block 2, ...
    Slot* at(std::uintptr_t index) const {
        int number = 0;
        std::uintptr_t first = 0, size = block;
        while (index >= first + size) {
            first += size;
            size = first;
            ++number;
        }
        Slot* const slots = blocks_[number].load(std::memory_order_acquire);
        return slots ? slots + (index - first) : nullptr;
    }

    void grow() {
        const std::uintptr_t size = used_ ? used_ : block;
        if (used_ + size > capacity) throw std::bad_alloc();
        free_.reserve(used_ + size);
        std::unique_ptr<Slot[]> slots(new Slot[size]);
        int number = 0;
        while (blocks_[number].load(std::memory_order_relaxed)) ++number;
        blocks_[number].store(slots.release(), std::memory_order_release);
        for (std::uintptr_t index = used_ + size; index-- > used_;) free_.push_back(index);
        used_ += size;
    }

    const std::uintptr_t kind_;
    std::mutex mutex_;
    std::vector<std::uintptr_t> free_;
    std::uintptr_t used_ = 0;
    std::atomic<Slot*> blocks_[blocks] = {};
};

}  // namespace fastrnn::c

// The memory of packed weights.
#pragma once

#include <vector>

#include "bindings/python/result_memory.hpp"
#include "kernels/vector/simd.hpp"

namespace fastrnn::bindings {

// Pieces of memory that are released together.
class WeightMemory {
   public:
    template <class S>
    S* take(Index count) {
        pieces_.emplace_back(std::size_t(count) * sizeof(S), "packed weights", "use a smaller layer");
        bytes_ += count * Index(sizeof(S));
        return static_cast<S*>(pieces_.back().get());
    }
    Index bytes() const { return bytes_; }

   private:
    std::vector<OwnedBlock> pieces_;
    Index bytes_ = 0;
};

}  // namespace fastrnn::bindings

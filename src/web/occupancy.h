// How many sockets the process holds, over all its loops.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>

namespace boardbus::web {

/// A number of places, taken and left by all loops. Thread: any.
class Places {
  public:
    explicit Places(std::size_t most) : most_(most) {}

    /// False when all places are taken.
    bool take() {
        if (taken_.fetch_add(1, std::memory_order_relaxed) < most_) {
            return true;
        }
        leave();
        return false;
    }
    void leave() { taken_.fetch_sub(1, std::memory_order_relaxed); }
    std::size_t taken() const { return taken_.load(std::memory_order_relaxed); }

  private:
    const std::size_t most_;  // Constant after construction.
    std::atomic<std::size_t> taken_ = 0;
};

/// Connections of any kind, so that accepting never takes the last descriptors from the broker's connections and from
/// the log; and WebSockets, which the configuration limits.
struct Occupancy {
    Places sockets;
    Places websockets;
};

}  // namespace boardbus::web

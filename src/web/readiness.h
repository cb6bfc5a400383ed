// What /readyz says: can this process take messages and show events?
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace boardbus::web {

/// Set by the composition root, read by every loop. Thread: any.
class Readiness {
  public:
    enum class State : std::uint8_t {
        starting,  ///< The bus has never been usable.
        ready,     ///< The publisher's connection is open and the subscription is live.
        degraded,  ///< The bus is away, or the process is going away.
    };

    void set(State state) { state_.store(state, std::memory_order_relaxed); }
    State get() const { return state_.load(std::memory_order_relaxed); }

  private:
    std::atomic<State> state_ = State::starting;
};

}  // namespace boardbus::web

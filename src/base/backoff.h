// How long to wait before the next attempt to reach somebody who is away.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

namespace boardbus {

/// Doubles from `initial` to `most`, each wait shortened at random by up to half, so that many clients of one broker do not come
/// back together ("equal jitter").
class Backoff {
  public:
    Backoff(std::chrono::milliseconds initial, std::chrono::milliseconds most)
        : initial_(initial), most_(most), next_(initial) {}

    /// The next wait; `chance` is a random number in [0, 1).
    std::chrono::milliseconds next(double chance) {
        const auto full = std::min(next_, most_);
        next_ = std::min(next_ * 2, most_);
        return full - std::chrono::milliseconds(static_cast<long>(static_cast<double>(full.count()) * chance / 2));
    }

    void reset() { next_ = initial_; }

  private:
    std::chrono::milliseconds initial_;
    std::chrono::milliseconds most_;
    std::chrono::milliseconds next_;
};

}  // namespace boardbus

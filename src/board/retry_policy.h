// When a message that failed is tried again, and when no more.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace boardbus::board {

struct RetryPolicy {
    std::chrono::milliseconds delay_first{5000};
    std::chrono::milliseconds delay_max{300000};
    int retries_max = 5;

    /// The retries that a delivery has behind it; what a header claims beyond the bounds counts as the bound.
    int retries(std::int64_t claimed) const {
        return static_cast<int>(std::clamp<std::int64_t>(claimed, 0, std::max(0, retries_max)));
    }

    /// The wait before retry `n` (1 is the first): doubles each time, ±10 %, capped. `chance` is a random number in [0,
    /// 1). The level queue of retry n is level n.
    std::chrono::milliseconds delay(int n, double chance) const {
        const double jitter = 0.9 + 0.2 * chance;
        const auto jittered = static_cast<double>(planned(n).count()) * jitter;
        return std::min(std::chrono::milliseconds(static_cast<std::int64_t>(jittered)), delay_max);
    }

    /// All waits of a message that fails until the end, without jitter.
    std::chrono::milliseconds delays_total() const {
        std::chrono::milliseconds total{};
        for (int n = 1; n <= retries_max; ++n) {
            total += planned(n);
        }
        return total;
    }

    /// How long a key must be remembered, so that the last retry still meets it: twice all waits and two minutes for
    /// the rest.
    std::chrono::seconds horizon() const {
        return std::chrono::ceil<std::chrono::seconds>(2 * delays_total()) + std::chrono::seconds(120);
    }

    /// The life of a key when nothing is configured.
    std::chrono::seconds idempotency_ttl() const { return std::max(std::chrono::seconds(300), horizon()); }

  private:
    std::chrono::milliseconds planned(int n) const {
        // 2^30 × 1 ms is twelve days, above every cap that makes sense, and the product stays far inside 64 bits.
        const int doublings = std::clamp(n - 1, 0, 30);
        return std::min(delay_first * (std::int64_t{1} << doublings), delay_max);
    }
};

}  // namespace boardbus::board

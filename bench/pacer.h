// Publishes at a constant rate, whatever happens to what was published: an open loop.
//
// Event n is due at begin + n / rate. A late wake-up publishes all that has become due, each with its own due time. A timerfd, because
// the loop's timers count whole milliseconds. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "bench/event_log.h"

namespace boardbus::bench {

class Pacer final : private Watcher {
  public:
    /// Calls `publish` for each event that is due within `span`. Errors: throws std::system_error without a descriptor.
    Pacer(Loop& loop, Span span, double rate_per_s, std::function<void(Instant due)> publish);
    Pacer(const Pacer&) = delete;
    Pacer& operator=(const Pacer&) = delete;
    ~Pacer();

  private:
    void on_ready(std::uint32_t events) override;
    Instant next_due() const;
    void arm();

    Loop& loop_;
    const Span span_;
    const double rate_per_s_;
    const std::function<void(Instant due)> publish_;
    UniqueFd fd_;
    std::uint64_t published_ = 0;
};

}  // namespace boardbus::bench

// Does something at a constant rate, whatever becomes of it: the open loop of a measurement.
//
// Call n is due at begin + n / rate. A late wake-up makes all calls that have become due, each with its own due time. A timerfd, because
// the loop's timers count whole milliseconds. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "base/loop.h"
#include "base/unique_fd.h"

namespace boardbus {

/// When call `number` (from 0) is due.
Instant due_of(Instant begin, double rate_per_s, std::uint64_t number);

class Pacer final : private Watcher {
  public:
    /// Calls `act` for each moment that is due from `begin` on, before `end`. `act` must not destroy the pacer.
    /// Errors: throws std::system_error without a descriptor.
    Pacer(Loop& loop, Instant begin, Instant end, double rate_per_s, std::function<void(Instant due)> act);
    Pacer(const Pacer&) = delete;
    Pacer& operator=(const Pacer&) = delete;
    ~Pacer();

  private:
    void on_ready(std::uint32_t events) override;
    Instant next_due() const { return due_of(begin_, rate_per_s_, acted_); }
    void arm();

    Loop& loop_;
    const Instant begin_;
    const Instant end_;
    const double rate_per_s_;
    const std::function<void(Instant due)> act_;
    UniqueFd fd_;
    std::uint64_t acted_ = 0;
};

}  // namespace boardbus

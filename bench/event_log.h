// What one run has published, what of it has arrived where, and how late.
//
// Event n belongs to board n mod boards and reader r reads board r mod boards: every reader of a board must see each of its events
// exactly once. Lateness counts from the moment at which an event was due, not from the one at which it was sent, so that a stall
// counts for every event that it held up (no coordinated omission). One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "base/loop.h"

namespace boardbus::bench {

/// A run: it publishes from `begin` to `end` and counts from `measured` on.
struct Span {
    Instant begin;
    Instant measured;
    Instant end;
};

class EventLog {
  public:
    EventLog(std::size_t readers, std::size_t boards, Span span);

    /// Notes one more event and returns its number, counted from 0. Bound: ask full() before.
    std::uint64_t publish(Instant due);
    bool full() const { return due_.size() >= events_max_; }

    /// Notes that `reader` has seen event `number` at `now`. False when it is a duplicate, or no event of this run.
    bool arrive(std::size_t reader, std::uint64_t number, Instant now);

    std::uint64_t published() const { return due_.size(); }
    std::uint64_t missing() const { return expected_ - arrived_; }

    /// The report as one line of JSON. `refused`: events that were answered with an error.
    std::string json(std::uint64_t refused) const;

  private:
    // Constant after construction.
    const Span span_;
    const std::size_t boards_;
    const std::size_t events_max_;
    std::vector<std::size_t> readers_of_;  // For each board.

    std::vector<Instant> due_;
    std::vector<std::vector<bool>> seen_;  // For each reader, by number / boards.
    std::uint64_t expected_ = 0;
    std::uint64_t arrived_ = 0;
    std::uint64_t arrived_measured_ = 0;  // Between `measured` and `end`.
    std::uint64_t duplicates_ = 0;
    Histogram latency_;  // Of events that were due between `measured` and `end`.
};

/// A JSON object of about `bytes` bytes (at least 23) with a place for the event's number: {"n":"0000000000","pad":"xx"}
std::string numbered_object(std::size_t bytes);

/// Writes `number` into the place that numbered_object() has made, wherever in `text` that object stands.
void set_number(std::string& text, std::uint64_t number);

/// The number, when there is one.
std::optional<std::uint64_t> number_in(std::string_view text);

}  // namespace boardbus::bench

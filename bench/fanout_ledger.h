// What one fan-out run has published, and what of it has arrived where: exactly, at the price of a few additions per delivery.
//
// Each board has one publisher and numbers of its own, so that every reader must see 0, 1, 2, … and nothing else: a number that is too high
// means that events were lost, one that is too low that an event came twice or late. Lateness counts from the moment at which an event was
// due (no coordinated omission). One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/loop.h"

namespace boardbus::bench {

/// One reader's place in a board's order of events.
struct Seat {
    std::size_t board = 0;
    std::uint64_t next = 0;  ///< The number that must come next.
    bool fresh = false;      ///< It has joined in the middle: a lower number may still come first.
};

/// What is counted while the window of measurement is open.
struct Measured {
    std::uint64_t deliveries = 0;
    std::uint64_t event_bytes = 0;  ///< Of those deliveries: the events alone, without frames.
    std::uint64_t published = 0;
    Histogram latency;      ///< Of events that were due while it was open, from due to each reader.
    Histogram last_reader;  ///< The same, from due to the last of the event's readers.
};

class FanoutLedger {
  public:
    explicit FanoutLedger(std::size_t boards) : boards_(boards) {}

    /// Before the first event: one more reader that must see every event of the board.
    void add_reader(std::size_t board) { ++boards_[board].readers; }

    void open_window() { measuring_ = true; }
    void close_window() { measuring_ = false; }

    /// Between the two calls latencies go into `storm()`, too.
    void begin_storm() { storming_ = true; }
    void end_storm() { storming_ = false; }

    /// Notes one more event and returns its number. Bound: ask full() before.
    std::uint64_t publish(std::size_t board, Instant due);
    bool full() const { return published_ >= kEventsMax; }

    /// Notes that a reader has got event `number`, of `bytes` bytes.
    void arrive(Seat& seat, std::uint64_t number, std::size_t bytes, Instant now);

    /// A reader joins (again) now: it must see everything that is published from here on.
    void sit_down(Seat& seat) const;

    /// Events that the reader should have seen by now and has not.
    std::uint64_t missing(const Seat& seat) const;

    std::size_t readers(std::size_t board) const { return boards_[board].readers; }
    std::uint64_t published() const { return published_; }
    /// Deliveries that are due to readers and have not come.
    std::uint64_t outstanding() const { return expected_ - arrived_; }
    /// Numbers that were skipped.
    std::uint64_t skipped() const { return skipped_; }
    /// Numbers that came twice, or after a higher one.
    std::uint64_t repeated() const { return repeated_; }
    /// Numbers that nobody has published.
    std::uint64_t foreign() const { return foreign_; }
    const Measured& measured() const { return measured_; }
    const Histogram& storm() const { return storm_; }

  private:
    // 10 million × 16 B = 160 MB.
    static constexpr std::uint64_t kEventsMax = 10'000'000;

    struct Event {
        Instant due;
        std::uint32_t waiting;  // Readers that have not got it.
        bool measured;
        bool in_storm;
    };
    struct Board {
        std::size_t readers = 0;
        std::vector<Event> events;
    };

    std::vector<Board> boards_;
    std::uint64_t published_ = 0;
    std::uint64_t expected_ = 0;
    std::uint64_t arrived_ = 0;
    std::uint64_t skipped_ = 0;
    std::uint64_t repeated_ = 0;
    std::uint64_t foreign_ = 0;
    bool measuring_ = false;
    bool storming_ = false;
    Measured measured_;
    Histogram storm_;
};

/// A histogram's quantiles as a JSON object, in microseconds.
std::string quantiles_json(const Histogram& histogram);

}  // namespace boardbus::bench

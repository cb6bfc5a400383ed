// What one run of `boardbus bench` has published, what of it has arrived where, in which order and how late.
//
// Publisher p writes to board p mod boards, subscriber s reads board s mod boards; each subscriber of a board must see each event of
// each of its publishers exactly once and in the publisher's order. Lateness counts from the moment at which an event was due, so that a
// stall counts for every event that it held up (no coordinated omission). No clock, no socket; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/loop.h"
#include "cli/bench_stamp.h"

namespace boardbus::cli {

/// One subscriber's view of one publisher.
class BenchArrivals {
  public:
    enum class Arrival {
        in_order,
        late,  ///< After one that was published later.
        doubled,
    };

    Arrival arrive(std::uint64_t sequence);

    /// How many of the first `published` have not arrived.
    std::uint64_t missing(std::uint64_t published) const;

  private:
    using Hole = std::pair<std::uint64_t, std::uint64_t>;  // From, to (exclusive).

    void keep(std::vector<Hole>::iterator place, Hole hole);

    std::uint64_t next_ = 0;
    std::uint64_t given_up_ = 0;  // Missing in holes that are no longer kept.
    std::vector<Hole>
        holes_;  // Rising. Bound: 64; then the oldest counts as lost, and what still comes of it as doubled.
};

/// Who is on the boards. Every board has at least one of each.
struct BenchCrowd {
    std::size_t boards = 1;
    std::size_t subscribers = 1;
    std::size_t publishers = 1;
};

/// A run publishes from `begin` to `end` and measures from `measured` on.
struct BenchSpan {
    Instant begin;
    Instant measured;
    Instant end;
};

class BenchLedger {
  public:
    BenchLedger(BenchCrowd crowd, BenchSpan span);

    /// Notes one more event and says what it has to carry.
    BenchStamp publish(std::size_t publisher, Instant due);

    /// The bus did not take one of this publisher's events, whichever it was.
    void refuse(std::size_t publisher);

    /// Notes what `subscriber` has received. A stamp that cannot be ours counts as strange.
    void arrive(std::size_t subscriber, const BenchStamp& stamp, Instant now);

    /// The subscriber's connection has ended: nothing more is owed to it. Told once.
    void forget(std::size_t subscriber);

    /// Events of a publisher that have neither arrived at all of its subscribers nor been refused; an average over them.
    std::uint64_t in_flight(std::size_t publisher) const;

    /// Everything that is owed has arrived.
    bool settled() const { return owed_ <= 0; }

    std::uint64_t published() const { return published_; }
    std::uint64_t delivered() const { return delivered_; }
    std::uint64_t refused() const { return refused_; }
    std::uint64_t late() const { return late_; }
    std::uint64_t doubled() const { return doubled_; }
    std::uint64_t strange() const { return strange_; }

    /// Deliveries that connected subscribers still miss and that no refusal explains. Cost: subscribers × publishers of a board.
    std::uint64_t lost() const;

    /// Arrived between `measured` and `end`; an event counts by the share of its subscribers who have it.
    double events_measured() const { return events_measured_; }
    std::uint64_t deliveries_measured() const { return deliveries_measured_; }

    /// Of events that were due between `measured` and `end`.
    const Histogram& latency() const { return latency_; }

  private:
    struct Publisher {
        std::uint64_t published = 0;
        std::uint64_t refused = 0;
        std::uint64_t delivered = 0;
    };

    std::size_t board_of(std::size_t member) const { return member % crowd_.boards; }
    std::size_t place_of(std::size_t publisher) const { return publisher / crowd_.boards; }
    std::uint64_t missing(std::size_t subscriber, std::size_t place) const;

    // Constant after construction.
    const BenchCrowd crowd_;
    const BenchSpan span_;

    std::vector<Publisher> publishers_;
    std::vector<std::size_t> readers_;  // For each board: subscribers that are connected.
    std::vector<std::vector<BenchArrivals>>
        arrivals_;  // For each subscriber, by place of the publisher; empty when forgotten.
    std::uint64_t published_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t late_ = 0;
    std::uint64_t doubled_ = 0;
    std::uint64_t strange_ = 0;
    std::int64_t owed_ = 0;  // Below 0 when an event arrives that had been called refused.
    std::uint64_t deliveries_measured_ = 0;
    double events_measured_ = 0;
    Histogram latency_;
};

}  // namespace boardbus::cli

// Opens many sockets, at a rate or as fast as the server shakes hands, never with too many handshakes under way.
//
// Decides when the next one is due and which handshake has taken too long; the sockets are somebody else's. Lives on its loop's thread;
// step() is called every turn.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

#include "cli/bench_socket.h"

namespace boardbus::cli {

struct BenchDialPlan {
    std::size_t connections = 0;
    double rate_per_s = 0;         ///< 0: as fast as handshakes end.
    std::size_t handshakes = 128;  ///< Under way at once.
    std::chrono::milliseconds timeout{10'000};
};

class BenchDialer {
  public:
    /// `dial` makes socket `number` and begins to open it. The socket stays where it is.
    using Dial = std::function<BenchSocket&(std::size_t number, Instant due)>;

    BenchDialer(BenchDialPlan plan, Instant begin, Dial dial) : plan_(plan), begin_(begin), dial_(std::move(dial)) {}

    /// Gives up handshakes that take too long and begins those that are due.
    void step(Instant now);

    /// Begins no more; those under way go on.
    void stop() { stopped_ = true; }

    std::size_t begun() const { return begun_; }

    /// Nothing is under way and nothing will be.
    bool done() const { return under_way_.empty() && (stopped_ || begun_ == plan_.connections); }

    /// How long a turn may wait without being late for the next one.
    std::chrono::milliseconds longest_turn() const { return std::chrono::milliseconds(plan_.rate_per_s > 0 ? 1 : 10); }

  private:
    struct Handshake {
        BenchSocket* socket;
        Instant begun;
    };

    const BenchDialPlan plan_;
    const Instant begin_;
    const Dial dial_;
    std::vector<Handshake> under_way_;  // Bound: plan_.handshakes.
    std::size_t begun_ = 0;
    bool stopped_ = false;
};

}  // namespace boardbus::cli

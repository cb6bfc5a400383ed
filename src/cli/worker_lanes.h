// The lanes of a worker: for each a consumer and its delivery pump, and the roster by which workers share them.
//
// Every worker queues up at every lane; RabbitMQ makes one of them active, the first that came. So a worker that joins would get
// nothing, and one that lost its connection for a moment would have lost its lanes for good. Hence the roster: who is active on a lane
// that is another's turn gives its deliveries back, in order, and queues up again behind. Without a single active consumer everybody is
// active on every lane, and nothing changes hands. Lives on the worker's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "board/ports.h"
#include "cli/config.h"
#include "cli/tracing.h"
#include "telemetry/metrics.h"
#include "transport/delivery_pump.h"
#include "transport/rabbitmq_consumer.h"
#include "transport/worker_roster.h"

namespace boardbus::cli {

/// When a lane may go to the worker whose turn it is: at once, but after growing waits when it came back from him. It does when he
/// reaches Redis and not RabbitMQ, and when a main queue that somebody else declared has no single active consumer.
class LaneTurn {
  public:
    /// Whether it may go to `worker` now; if so, it is taken to go. `chance` is a random number in [0, 1).
    bool give(const std::string& worker, Instant now, double chance);

  private:
    std::string last_;  // Who was given it.
    Instant given_at_{};
    Instant next_{};
    Backoff wait_{std::chrono::seconds(10), std::chrono::minutes(5)};
};

class WorkerLanes {
  public:
    /// `on_change` hears that usable() may have changed.
    WorkerLanes(Loop& loop, telemetry::Metrics& metrics, board::ActivityBus& bus, Tracing& tracing,
                const Config& config, const std::function<void()>& on_change);
    WorkerLanes(const WorkerLanes&) = delete;
    WorkerLanes& operator=(const WorkerLanes&) = delete;

    void start();

    /// Begins nothing new, settles what is under way, gives the rest back, closes in good order, then calls `done`.
    void stop(Task done);

    /// Deliveries can come on every lane, and none is held. A standby is usable, too.
    bool usable() const;

  private:
    struct Lane {
        Lane(Loop& loop, telemetry::Metrics& metrics, board::ActivityBus& bus, Tracing& tracing, const Config& config,
             std::size_t number, const std::function<void()>& on_change);

        transport::RabbitConsumer consumer;
        board::DeliverySource& source;  // The consumer, seen through the tracing.
        transport::DeliveryPump pump;
        LaneTurn turn;
    };

    void on_members(const std::vector<std::string>& members);
    void one_stopped();

    // Constant after construction.
    Loop& loop_;
    const std::string id_;
    std::vector<std::unique_ptr<Lane>> lanes_;

    // Loop only.
    std::optional<transport::WorkerRoster> roster_;  // None: there is nothing to share.
    std::vector<std::string> members_;
    Instant members_since_;
    std::size_t running_ = 0;
    Task stopped_;
};

}  // namespace boardbus::cli

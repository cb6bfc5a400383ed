// Gives the dead letters that RabbitMQ itself made (delivery_limit, rejected) the ERROR line that every dead letter gets.
//
// Looks into the DLQ when its length has changed, and every five minutes, without taking anything out. A line is written once per
// process; after a start again for what is younger than an hour, since the worker that should have written it may have been the one
// that died. Bounds: 10,000 messages per look, 20,000 remembered ids. Each worker watches for itself. A DLQ of somebody else's making that
// counts deliveries is left alone after the second look: at its limit, which is not known, it would lose what it holds. Lives on the bus
// loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>

#include "base/loop.h"
#include "telemetry/metrics.h"
#include "transport/amqp_connection.h"
#include "transport/rabbitmq_dlq_reader.h"
#include "transport/rabbitmq_topology.h"

namespace boardbus::transport {

struct DeadLetter;

class RabbitDlqWatcher {
  public:
    /// `connection` is anybody's; looks are taken while it is open.
    RabbitDlqWatcher(Loop& loop, AmqpConnection& connection, telemetry::Metrics& metrics,
                     const RabbitTopology& topology);

    void start();
    void stop() { timer_.stop(); }

  private:
    void look();
    void on_count(const Result<std::size_t>& count);
    DlqReader::Next on_message(AmqpMessage message);
    void report(const DeadLetter& letter);

    AmqpConnection& connection_;
    telemetry::Metrics& metrics_;
    const RabbitTopology& topology_;
    const std::string queue_;
    const std::uint64_t started_at_;  // Seconds since 1970: what the broker's own record is compared with.
    DlqReader reader_;
    std::size_t last_count_ = 0;
    int looks_skipped_ = 0;
    bool said_too_long_ = false;
    bool kept_out_ = false;  // For good: looking would use up the deliveries of somebody else's queue.
    std::unordered_set<std::string> seen_;
    std::deque<std::string> seen_order_;
    Timer timer_;
};

}  // namespace boardbus::transport

// Copies of failed messages on their way to a level queue or to the DLQ.
//
// A copy is sent again until it is confirmed, with growing waits and a fresh look at the topology, and only then is its original let go.
// Runs on a connection of its own: the broker stops reading a connection that publishes during an alarm, and acks on it would stop too.
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/backoff.h"
#include "base/loop.h"
#include "board/ports.h"
#include "telemetry/metrics.h"
#include "transport/amqp_confirm_channel.h"
#include "transport/amqp_connection.h"
#include "transport/rabbitmq_topology.h"

namespace boardbus::transport {

class RabbitHandover final : private AmqpConnectionOwner {
  public:
    using OnConfirmed = std::function<void(std::uint64_t tag)>;

    /// `topology` may live on another connection. `on_confirmed` lets the original `tag` go.
    RabbitHandover(Loop& loop, telemetry::Metrics& metrics, AmqpOptions connection, RabbitTopology& topology,
                   OnConfirmed on_confirmed);

    void start() { connection_.start(); }
    void stop(Task done);

    /// Takes charge of a message that failed. Bound: the caller's prefetch.
    void send(std::uint64_t tag, board::Verdict verdict, const amqp::Properties& original, std::string body);

    /// The originals are void: copies that have not left are forgotten, those under way are only awaited.
    void reset();

    bool idle() const { return copies_.empty(); }

  private:
    struct Copy {
        board::Verdict verdict;
        std::string message_id;
        amqp::Properties properties;
        std::string body;
        bool sent = false;
        bool abandoned = false;  // Its original is void: not to be sent again.
    };
    using Copies = std::map<std::uint64_t, Copy>;

    void on_connected() override { channel_.open(); }
    void on_disconnected(const Error&) override { again_.stop(); }
    void on_channel_state(bool open);
    void try_again();
    void send_waiting();
    void send_one(Copies::value_type& copy);
    void on_confirm(std::uint64_t tag, Confirm confirm, std::string_view reason);
    void confirmed(Copies::iterator copy);

    telemetry::Metrics& metrics_;
    RabbitTopology& topology_;
    const OnConfirmed on_confirmed_;
    AmqpConnection connection_;
    ConfirmChannel channel_;
    Copies copies_;  // By the tag of the original.
    Backoff backoff_;
    Timer again_;
};

}  // namespace boardbus::transport

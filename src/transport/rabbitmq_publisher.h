// The app's way into the bus: envelopes go to the main exchange, and an envelope counts only when RabbitMQ has confirmed it.
//
// Two bounds: the window (publications that RabbitMQ has and has not answered) and the queue in bytes (those that wait for a place in
// it, or for the end of a memory or disk alarm). Beyond them, and without a connection, a publication is rejected at once: whoever sent
// it can decide better than a queue what to do. Every publication is answered within its timeout: `rejected` when it never left,
// `unknown` when it did. A board's publications take its lane. Lives on the bus loop. Spec: CONTRACT §5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "board/ports.h"
#include "board/topology.h"
#include "telemetry/metrics.h"
#include "transport/amqp_confirm_channel.h"
#include "transport/amqp_connection.h"
#include "transport/rabbitmq_topology.h"

namespace boardbus::transport {

struct RabbitPublisherOptions {
    AmqpOptions connection;
    std::vector<board::Topology> lanes;  ///< At least one.
    std::chrono::milliseconds timeout{5000};
    std::size_t window = 256;
    std::size_t queue_bytes = 16U << 20;
};

class RabbitPublisher final : public board::Publisher, private AmqpConnectionOwner, private TurnEnd {
  public:
    /// `on_state` hears whether publications are taken, at every change.
    RabbitPublisher(Loop& loop, telemetry::Metrics& metrics, RabbitPublisherOptions options,
                    std::function<void(bool open)> on_state);
    RabbitPublisher(const RabbitPublisher&) = delete;
    RabbitPublisher& operator=(const RabbitPublisher&) = delete;
    /// Calls nobody.
    ~RabbitPublisher();

    void start();

    /// Takes nothing new, waits until everything under way is answered (at most the timeout), then closes in good order.
    void stop(Task done);

    void publish(board::Publication publication, board::PublishDone done) override;

    bool is_open() const { return open_; }

  private:
    struct Waiting {
        board::Publication publication;
        board::PublishDone done;
        Instant since;
    };
    struct Sent {
        board::PublishDone done;
        Instant since;
    };

    void on_connected() override;
    void on_disconnected(const Error& error) override;
    void on_blocked(bool blocked) override;
    void on_turn_end() override;

    void open_channel();
    void declare(std::size_t lane);
    void on_channel_state(bool open);
    void pump();
    void send(Waiting waiting);
    void on_confirm(std::uint64_t id, Confirm confirm, std::string_view reason);
    void reject_waiting(std::string_view reason);
    void expire();
    void watch_deadline();
    void answer(board::PublishDone& done, Instant since, board::PublishOutcome outcome, std::string_view reason);
    void set_open(bool open);
    void finish_stop_if_idle();

    // Constant after construction.
    Loop& loop_;
    telemetry::Metrics& metrics_;
    const std::chrono::milliseconds timeout_;
    const std::size_t window_;
    const std::size_t queue_bytes_max_;
    const std::function<void(bool)> on_state_;

    // Loop only.
    AmqpConnection connection_;
    std::vector<std::unique_ptr<RabbitTopology>> lanes_;
    ConfirmChannel channel_;
    bool open_ = false;
    std::deque<Waiting> waiting_;  // Bound: queue_bytes_max_, or a single one.
    std::size_t waiting_bytes_ = 0;
    std::map<std::uint64_t, Sent>
        sent_;  // Bound: window_. Answered `unknown` ones are gone; their place in the window is not.
    std::uint64_t next_id_ = 0;
    std::size_t written_ = 0;  // Since the kernel last had everything.
    Backoff backoff_;
    Timer reopen_;
    Timer deadline_;
    Task stopped_;
    bool stopping_ = false;
};

}  // namespace boardbus::transport

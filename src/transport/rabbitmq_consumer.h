// The worker's side of the main queue: hands out deliveries, acks them, and moves what failed.
//
// All that one read brought is one batch. Acks leave in as few frames as their order allows: those of a turn together, on a quorum queue
// those of up to 20 ms. Two connections: one consumes and acks, one carries the copies (rabbitmq_handover.h). To stop or to give
// deliveries back the channel is closed, never the consumer cancelled first: a cancelled consumer hands its single activity on while its
// own deliveries are still under way, and order is lost; a closed channel returns them first. Lives on the bus loop. Spec: CONTRACT §5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "board/ports.h"
#include "board/topology.h"
#include "telemetry/metrics.h"
#include "transport/amqp_channel.h"
#include "transport/amqp_connection.h"
#include "transport/rabbitmq_dlq_watcher.h"
#include "transport/rabbitmq_handover.h"
#include "transport/rabbitmq_topology.h"

namespace boardbus::transport {

enum class DlqWatch { yes, no };
enum class Traceparents { ignored, read };

struct RabbitConsumerOptions {
    /// Its heartbeat is taken as 5 s at most: a standby takes over from a silent worker after about 2.5 of them.
    AmqpOptions connection;
    board::Topology topology;
    std::uint16_t prefetch = 256;
    /// Whether to give RabbitMQ's own dead letters their line. Of several consumers in one process, one: they share the DLQ.
    DlqWatch dlq_watch = DlqWatch::yes;
    Traceparents traceparents = Traceparents::ignored;  ///< Read: deliveries carry their trace.
};

class RabbitConsumer final : public board::DeliverySource,
                             private AmqpConnectionOwner,
                             private AmqpChannelOwner,
                             private TurnEnd {
  public:
    /// `on_state` hears whether deliveries can come, at every change.
    RabbitConsumer(Loop& loop, telemetry::Metrics& metrics, RabbitConsumerOptions options,
                   std::function<void(bool open)> on_state);
    RabbitConsumer(const RabbitConsumer&) = delete;
    RabbitConsumer& operator=(const RabbitConsumer&) = delete;
    /// Calls nobody. What is unsettled returns to its queue.
    ~RabbitConsumer();

    /// Connects; deliveries come after start().
    void connect();

    /// Hands out nothing more, waits for copies under way (5 s at most), flushes the acks, closes in good order. Ends with
    /// on_source_reset() if anything had been handed out, then `done`.
    void stop(Task done);

    bool is_open() const { return phase_ == Phase::consuming; }

    /// True when deliveries have come since it last queued up: it is the single active consumer, or was a moment ago.
    bool has_been_active() const { return last_ > base_; }

    /// Deliveries that RabbitMQ waits for an answer to: the prefetch at most.
    std::size_t unsettled() const { return outstanding_.size(); }

    void start(board::DeliverySink& sink) override;
    void release() override;
    void settle(std::uint64_t tag, board::Verdict verdict) override;

  private:
    enum class Phase { closed, opening, consuming, leaving, closing };
    enum class Then { begin, wait };  // After the channel's end: again at once if wanted, or after a while.
    struct Outstanding {
        enum class State { handed, copying, done, held } state = State::handed;
        std::uint64_t tag;
        amqp::Properties properties;
        std::string body;
    };

    void on_connected() override;
    void on_disconnected(const Error& error) override;
    void on_channel_lost(const Error& error) override;
    void on_message(AmqpMessage message) override;
    void on_cancelled() override;
    void on_read_end() override;
    void on_turn_end() override;

    void begin();
    void consume();
    void leave_if_idle();
    void close(Then then);
    void end_deliveries(Then then);
    void refuse_oversized();
    void on_copied(std::uint64_t tag);
    void let_go(std::uint64_t tag);
    void flush_acks();
    Outstanding* find(std::uint64_t tag);
    void set_phase(Phase phase);
    void watch_silence();
    void on_silence();

    // Constant after construction.
    Loop& loop_;
    telemetry::Metrics& metrics_;
    const std::uint16_t prefetch_;
    const std::size_t acks_most_;
    const DlqWatch dlq_watch_;
    const Traceparents traceparents_;
    const std::function<void(bool)> on_state_;

    // Loop only.
    AmqpConnection connection_;
    RabbitTopology topology_;
    AmqpChannel channel_;
    RabbitHandover handover_;
    RabbitDlqWatcher watcher_;
    board::DeliverySink* sink_ = nullptr;      // Null: nothing is wanted.
    board::DeliverySink* informed_ = nullptr;  // Who must hear of a reset.
    Phase phase_ = Phase::closed;
    // Our tag = base_ + the broker's, which counts from 1 on every channel: a tag of an old channel is at most base_.
    std::uint64_t base_ = 0;
    std::uint64_t last_ = 0;               // Our tag of the newest delivery.
    std::deque<Outstanding> outstanding_;  // By tag, with gaps behind what is unfinished. Bound: the prefetch.
    std::vector<board::Delivery> batch_;
    std::size_t acks_due_ = 0;  // Done and not acked, a copied one counted as acks_most_: at that many they go.
    Backoff backoff_;
    Timer again_;
    Timer ack_;
    Timer leave_deadline_;
    Timer silence_;
    std::uint64_t seen_ = 0;  // Deliveries when the silence was last looked at.
    bool unserved_ = false;   // Then messages waited and none was here.
    Task stopped_;
};

}  // namespace boardbus::transport

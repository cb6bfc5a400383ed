// A channel in confirm mode: every message that is published gets exactly one answer.
//
// Everything is published `mandatory`, because RabbitMQ also confirms what no queue wanted: such a message comes back (basic.return)
// before its confirm. Confirms come in any order and several at once. Lives on its connection's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "transport/amqp_channel.h"

namespace boardbus::transport {

struct OutgoingMessage {
    std::string exchange;
    std::string routing_key;
    amqp::Properties properties;
    std::string body;
};

enum class Confirm {
    confirmed,  ///< On disk, or in a majority of the queue's replicas.
    returned,   ///< No queue is bound for it: the broker does not have it.
    refused,    ///< basic.nack: the queue is full or broken.
    lost,       ///< The channel ended before an answer came; the broker may have it.
};

class ConfirmChannel final : private AmqpChannelOwner {
  public:
    /// `reason` is for people and lives until the call returns.
    using ConfirmDone = std::move_only_function<void(Confirm, std::string_view reason)>;
    using OnState = std::function<void(bool open)>;

    /// `on_state` hears true when an open() succeeded, false when it did not and when the channel is lost.
    ConfirmChannel(Loop& loop, AmqpConnection& connection, OnState on_state);

    void open();
    bool is_open() const { return ready_; }

    /// Writes the message now. Bound: the caller keeps unconfirmed() within his window.
    void publish(const OutgoingMessage& message, ConfirmDone done);

    /// Messages without an answer.
    std::size_t unconfirmed() const { return unconfirmed_; }

  private:
    struct Pending {
        std::uint64_t print = 0;  // Hash of what a return shows, which carries no delivery tag.
        bool returned = false;
        std::string reason;
        ConfirmDone done;  // Empty: answered, out of order.
    };

    void on_channel_lost(const Error& error) override;
    void on_message(AmqpMessage message) override;
    void on_confirm(std::uint64_t tag, amqp::Multiple multiple, bool refused) override;

    AmqpConnection& connection_;
    OnState on_state_;
    AmqpChannel channel_;
    bool ready_ = false;
    std::uint64_t first_tag_ = 1;  // Of the front of pending_.
    std::deque<Pending> pending_;
    std::size_t unconfirmed_ = 0;
    std::string frames_;  // Scratch, kept for its capacity.
};

}  // namespace boardbus::transport

// A walk through the dead letters, from the oldest on.
//
// Everything seen stays unacked until the end; then the channel is closed, and what was kept returns in its old order. So nothing is
// lost if this process dies at any moment. The queue counts a delivery for each look; its limit is a million. Lives on its
// connection's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "transport/amqp_channel.h"

namespace boardbus::transport {

class DlqReader final : private AmqpChannelOwner {
  public:
    enum class Next {
        keep,    ///< It returns to the queue; on to the next.
        remove,  ///< It is acked; on to the next.
        stop,    ///< It returns to the queue; no more.
    };
    using Decide = std::move_only_function<void(Next)>;
    using OnMessage = std::function<void(AmqpMessage&, Decide)>;
    using OnEnd = std::move_only_function<void(Result<void>)>;

    DlqReader(Loop& loop, AmqpConnection& connection, std::string queue)
        : queue_(std::move(queue)), channel_(loop, connection, *this) {}

    /// The messages that wait in the queue. Errors: refused (no such queue), unavailable. Leaves the channel open for read().
    void count(std::move_only_function<void(Result<std::size_t>)> done);

    /// Shows at most `most` of the messages that wait now, one after another, each when the one before has been decided on. After the
    /// end the acks have been read by the broker. One read at a time.
    void read(std::size_t most, OnMessage on_message, OnEnd on_end);

    /// Removes everything that waits; says how much it was.
    void purge(std::move_only_function<void(Result<std::size_t>)> done);

  private:
    void on_channel_lost(const Error& error) override;
    void on_message(AmqpMessage message) override { message_ = std::move(message); }
    void open(std::move_only_function<void(Result<void>)> then);
    void get();
    void decide(std::uint64_t tag, Next next);
    void end(const Result<void>& result);

    const std::string queue_;
    AmqpChannel channel_;
    std::size_t left_ = 0;
    bool first_ = false;  // The next get is the first of a read.
    std::optional<AmqpMessage> message_;
    OnMessage show_;
    OnEnd on_end_;
};

}  // namespace boardbus::transport

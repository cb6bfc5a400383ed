// What `boardbus dlq` does to the dead letters: list, show, replay, purge.
//
// One object, one operation, one connection that is not made again when it fails: a command fails instead and says why. A replayed
// message is confirmed by the main queue before it leaves the DLQ. Lives on its owner's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "board/topology.h"
#include "transport/amqp_confirm_channel.h"
#include "transport/amqp_connection.h"
#include "transport/rabbitmq_copy.h"
#include "transport/rabbitmq_dlq_reader.h"

namespace boardbus::transport {

struct DeadLetter {
    std::string event_id;  ///< The message_id, else what the body says, else empty.
    std::string board_id;  ///< Empty when the body cannot be read.
    DeathRecord death;
    amqp::Properties properties;
    std::string body;  ///< Empty in a list, and above 16 MiB.
    std::size_t body_bytes = 0;
};

/// Above 16 MiB the body is not held and body_bytes is 0.
DeadLetter dead_letter_from(AmqpMessage message);

class RabbitDlq final : private AmqpConnectionOwner {
  public:
    /// `lanes`: at least one; all share their dead letter queue.
    RabbitDlq(Loop& loop, AmqpOptions connection, std::vector<board::Topology> lanes);

    // Each calls `done` once, after the connection is closed again. Errors: unavailable, timeout, refused.

    /// The oldest dead letters, at most `most`, without their bodies.
    void list(std::size_t most, std::move_only_function<void(Result<std::vector<DeadLetter>>)> done);

    void show(std::string event_id, std::move_only_function<void(Result<std::optional<DeadLetter>>)> done);

    /// Sends the dead letters of that id, or without an id all that are there now, to their boards' lanes again. Says how many.
    void replay(std::optional<std::string> event_id, std::move_only_function<void(Result<std::size_t>)> done);

    /// Removes the dead letters of that id, or without an id all that are there now. Says how many.
    void purge(std::optional<std::string> event_id, std::move_only_function<void(Result<std::size_t>)> done);

  private:
    void on_connected() override;
    void on_disconnected(const Error& error) override;
    void on_publishable(bool open);

    void begin(Task work, std::move_only_function<void(Result<void>)> done);
    void walk(DlqReader::OnMessage on_message);
    void replay_one(AmqpMessage& message, DlqReader::Decide decide);
    void finish(Result<void> result);

    const std::vector<board::Topology> lanes_;
    AmqpConnection connection_;
    ConfirmChannel publishing_;
    DlqReader reader_;
    bool publishes_ = false;
    bool finished_ = false;
    Task work_;
    std::move_only_function<void(Result<void>)> done_;
    std::vector<DeadLetter> found_;
    std::optional<std::string> wanted_;
    std::size_t changed_ = 0;
    Result<void> failure_;
};

}  // namespace boardbus::transport

// The subprotocol boardbus.v1: its frames as texts, and its commands out of texts.
//
// Only a client that asked for it by name ever sees one of these. Pure; any thread. Spec: CONTRACT §7, docs/protocol.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "board/message.h"
#include "board/ports.h"
#include "web/session.h"

namespace boardbus::web::v1 {

inline constexpr std::string_view kProtocol = "boardbus.v1";

/// Boards that one socket may be on, those included that it is about to join.
inline constexpr std::size_t kBoardsMax = 64;

std::string hello_frame(std::chrono::seconds ping_interval);
std::string status_frame(bool live);
std::string going_away_frame(std::chrono::milliseconds reconnect_in);

struct Subscribed {
    std::string_view board;
    std::string_view epoch;
    std::optional<std::uint64_t> seq;  ///< null when the history could not say.
    bool recovered = false;
    std::string_view cursor;  ///< Where the subscription begins; left out when empty.
};
std::string subscribed_frame(const Subscribed& subscribed);
std::string unsubscribed_frame(std::string_view board);

std::string ack_frame(const Receipt& receipt);

/// Why a message was not taken.
struct Refused {
    std::string_view correlation_id;  ///< null when empty: the message had none that could be read.
    board::PublishOutcome outcome = board::PublishOutcome::rejected;
    std::string_view reason;
    std::optional<std::chrono::milliseconds> retry_after;  ///< None: sending it again as it is will not help.
    std::string detail;                                    ///< JSON; left out when empty.
};
std::string nack_frame(const Refused& refused);

/// The nack for what the bus answered; `jitter` in [0, 1) spreads those who try again.
std::string nack_frame(const Receipt& receipt, const board::PublishResult& result, double jitter);

/// The nack for a text that is no BoardMessage. Its correlation_id is looked for all the same.
std::string nack_frame(std::string_view text, const board::Rejection& rejection);

/// Of a text that need not be a BoardMessage; "" when there is none that could be sent back.
std::string correlation_id_of(std::string_view text);

/// The answer to a command that cannot be carried out; `board` is null when the command named none.
std::string error_frame(std::string_view op, const std::optional<std::string>& board, std::string_view reason);

/// An object with a string `op`.
struct Command {
    std::string op;
    std::optional<std::string> board;  ///< Set when it is a board's name: 1 to 256 bytes.
    std::string since;                 ///< "": from now on.
    bool since_is_wrong = false;       ///< It is neither a string nor null.
    std::string_view message;          ///< The value as it stands in the text; empty when missing.
};

/// Reads a command; nothing for any other text, also for what is no JSON. `text` outlives the result.
std::optional<Command> read_command(std::string_view text);

}  // namespace boardbus::web::v1

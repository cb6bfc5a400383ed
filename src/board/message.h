// What a client may say to a board, and what it hears when it said something else.
//
// Texts and types of the errors are those of pydantic 2, which the clients know. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace boardbus::board {

inline constexpr std::size_t kCorrelationIdBytesMax = 256;
inline constexpr std::size_t kBoardIdBytesMax = 256;

/// Actions that begin so are ours: nobody can forge a gap or a resync.
inline constexpr std::string_view kReservedActions = "boardbus.";

struct BoardMessage {
    std::string action;
    std::string user = "anonymous";
    std::string payload =
        "{}";  ///< JSON object, compact, token for token as sent, `message` added when it was missing.
    std::optional<std::string> message;
    std::optional<std::string> correlation_id;  ///< Never empty.
};

/// One member that is not as it should be. All three are texts without an end of life.
struct ValidationError {
    std::string_view loc;
    std::string_view msg;
    std::string_view type;
};

/// Why a text is no BoardMessage.
struct Rejection {
    std::vector<ValidationError> errors;  ///< In the order of the fields, at most 5; empty: not JSON or not an object.
    std::string problem;                  ///< For people and logs.

    /// The `reason` of the error frame: invalid_json or validation_error.
    std::string_view reason() const { return errors.empty() ? "invalid_json" : "validation_error"; }
};

/// Reads one BoardMessage. Cost: well under 1 us for 200 bytes. Spec: CONTRACT §2.
std::expected<BoardMessage, Rejection> parse_board_message(std::string_view text);

/// The `detail` of a rejection as JSON: a string for invalid_json, else the list. An HTTP body is {"detail":…}.
std::string detail_json(const Rejection& rejection);

/// {"kind":"error","reason":…,"detail":…}
std::string error_frame(const Rejection& rejection);

/// The same for what is not the message's fault: event_bus_failure, rate_limited.
std::string error_frame(std::string_view reason, std::string_view detail);

}  // namespace boardbus::board

// What happened on a board: the event that readers get.
//
// The worker writes it once; each app fills in how many sockets its board has and sends it on, whoever wrote it. Pure;
// any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "board/envelope.h"

namespace boardbus::board {

/// The ActivityEvent as JSON on one line, active_connections 0. Spec: CONTRACT §2.
std::string encode_activity(const Envelope& envelope);

/// What an app needs to know about an event to deliver it.
struct ActivityView {
    std::string json;  ///< The event on one line, all members as they came; active_connections added when missing.
    std::string id;    ///< Decoded, as board and action: may hold any character, line ends included.
    std::string board;
    std::string action;
    std::optional<WallTime> published_at;  ///< The event's timestamp, when it is one.
    std::size_t count_at = 0;  ///< Where in `json` the value of active_connections stands: replace these bytes.
    std::size_t count_length = 0;

    std::string_view before_count() const { return std::string_view(json).substr(0, count_at); }
    std::string_view after_count() const { return std::string_view(json).substr(count_at + count_length); }
};

/// Reads what arrived on the channel, also from another implementation.
/// Errors: invalid: no JSON object, or id, board, action are no strings.
Result<ActivityView> parse_activity(std::string_view text);

/// 32 hex digits that tell two events with the same key apart: SHA-256, cut to 128 bits, of board, action, user,
/// payload and message, each behind its length. Cost: about 0.5 us.
std::string fingerprint(const Envelope& envelope);

}  // namespace boardbus::board

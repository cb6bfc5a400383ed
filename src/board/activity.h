// What happened on a board: the event that readers get.
//
// The worker writes it once; each app fills in how many sockets its board has and sends it on, whoever wrote it. Pure;
// any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "board/activity_view.h"
#include "board/envelope.h"
#include "board/ports.h"

namespace boardbus::board {

/// The ActivityEvent as JSON on one line, active_connections 0. Spec: CONTRACT §2.
std::string encode_activity(const Envelope& envelope);

/// The event with its place: `activity` (as encode_activity() makes it) and the members epoch, pos, seq and cursor at its end.
/// The commit script of Redis does the same in its language.
std::string place_activity(std::string_view activity, const Position& position, std::string_view event_id);

/// The event of a commit at its place, for the process that has just encoded it: what parse_activity() makes of place_activity(),
/// without reading it again. Errors: those of parse_activity(), which reads an activity that encode_activity() has not made.
Result<ActivityView> placed_view(const CommitRequest& request, const Position& position);

/// Reads what arrived on the channel, also from another implementation. A position is read only when all of its members are there,
/// of the right form and of one mind; otherwise they are members like any other.
/// Errors: invalid: no JSON object, or id, board, action are no strings.
Result<ActivityView> parse_activity(std::string_view text);

/// The longest event: what came from our own clients is shorter (an option bounds their messages), and readers of replies from Redis
/// have a bound of 16 MiB, beyond which an app could never get past it.
inline constexpr std::size_t kActivityBytesMax = std::size_t{12} << 20;

/// 32 hex digits that tell two events with the same key apart: SHA-256, cut to 128 bits, of board, action, user,
/// payload and message, each behind its length. Cost: about 0.5 us.
std::string fingerprint(const Envelope& envelope);

}  // namespace boardbus::board

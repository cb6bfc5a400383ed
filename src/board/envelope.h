// A message, sealed: who, where, when, under which id. The form in which it travels through the queue.
//
// Writer and reader of the format stand in one file. The reader takes what any implementation of the protocol wrote
// (member order, white space and unknown members are free) and says clearly why it does not take something. Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "board/message.h"
#include "board/ports.h"

namespace boardbus::board {

struct Envelope {
    std::string event_id;
    std::string board_id;
    BoardMessage message;
    std::string timestamp;  ///< published_at; ISO 8601, ends in `Z`, fraction as sent.
    std::string correlation_id;
    std::string idempotency_key;
};

/// Makes the envelope of a message. `fallback_correlation_id` (a new UUID) serves when the client gave none. Bound: the body has at most four
/// times the bytes of the text that the message was read from (`message` twice, each U+2028 of it six bytes instead of three) and 2 KiB.
Publication seal(const BoardMessage& message, std::string board_id, std::string event_id,
                 std::string fallback_correlation_id, WallTime now);

/// Reads an envelope. Errors: invalid, with a text that names the member.
Result<Envelope> decode_envelope(std::string_view body);

}  // namespace boardbus::board

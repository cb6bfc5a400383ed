// The texts that the microbenchmarks are about: one ordinary message and what becomes of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/clock.h"
#include "board/activity.h"
#include "board/envelope.h"
#include "board/message.h"

namespace boardbus::bench {

/// A BoardMessage of about 250 bytes, as clients send it.
inline const std::string kMessageText =
    R"({"action":"card.moved","user":"ann","payload":{"card":1742,"from":"doing","to":"done","title":"Write the report",)"
    R"("labels":["release","docs"],"position":3.5,"watchers":["bob","eve","mallory"],"due":"2026-12-01T09:00:00Z"},)"
    R"("correlation_id":"order-17-3f2a"})";

inline const std::string kEventId = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
inline const std::string kOtherId = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d";

/// The message, sealed. Errors: none, the text is good.
inline board::Publication sealed() {
    return board::seal(*board::parse_board_message(kMessageText), "board-17", kEventId, kOtherId, wall_now());
}

/// The event that readers of its board get.
inline std::string activity_text() {
    return board::encode_activity(*board::decode_envelope(sealed().body));
}

}  // namespace boardbus::bench

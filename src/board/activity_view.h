// An event as an app sees it: the bytes to send on, and what must be known to send them to the right readers.
//
// Values only; made by parse_activity(). Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "board/cursor.h"

namespace boardbus::board {

/// What an app needs to know about an event to deliver it.
struct ActivityView {
    std::string json;  ///< The event on one line, all members as they came; active_connections added when missing.
    std::string id;    ///< Decoded, as board and action: may hold any character, line ends included.
    std::string board;
    std::string action;
    std::optional<WallTime> published_at;  ///< The event's timestamp, when it is one.
    std::optional<Position> position;      ///< Nothing: another implementation published it.
    std::string cursor;                    ///< Of the event, as it stands in `json`; empty without a position.
    std::size_t count_at = 0;  ///< Where in `json` the value of active_connections stands: replace these bytes.
    std::size_t count_length = 0;

    /// Its id in a stream. Without a cursor it is the event's own: who comes back with that is told to resync.
    std::string_view stream_id() const { return cursor.empty() ? id : cursor; }
    std::string_view before_count() const { return std::string_view(json).substr(0, count_at); }
    std::string_view after_count() const { return std::string_view(json).substr(count_at + count_length); }
};

}  // namespace boardbus::board

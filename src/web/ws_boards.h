// What a socket knows that is on more than one board, or that came back with a cursor.
//
// A plain socket has none of this. Boards are joined one after another, the next slice only when the socket has taken the last
// one, so that 64 boards that come back together do not fill the backlog. Lives with its WsSession.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "hub/resumes.h"
#include "web/v1_protocol.h"

namespace boardbus::web {

struct WsBoards {
    struct Joining {
        std::string board;
        hub::ResumePoint point;
        bool told = false;      ///< `subscribed` has been sent.
        bool unwanted = false;  ///< Unsubscribed while the hub was being asked.
    };

    const std::string path_board;  ///< Where messages without a board go, joined or not.
    const bool speaks_v1;
    std::vector<std::string> joined;
    std::deque<Joining> joining;  ///< Bound, with `joined`: v1::kBoardsMax.
    bool asking = false;          ///< The hub is being asked for the first of `joining`.

    bool has(std::string_view board) const {
        return std::ranges::find(joined, board) != joined.end() ||
               std::ranges::any_of(joining, [&](const Joining& one) { return one.board == board && !one.unwanted; });
    }
    bool is_full() const { return joined.size() + joining.size() >= v1::kBoardsMax; }
};

}  // namespace boardbus::web

// What a socket knows that is on more than one board, or that came back with a cursor.
//
// A plain socket has none of this. Boards are joined one after another, the next slice only when the socket has taken the last
// one, so that 64 boards that come back together do not fill the backlog. Lives with its WsSession.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
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
        bool unwanted = false;  ///< Unsubscribed while the hub was being asked: only ever the first.

        /// A board may stand here twice: unwanted, and wanted again.
        bool wants(std::string_view name) const { return board == name && !unwanted; }
    };

    const std::string path_board;  ///< Where messages without a board go, joined or not.
    const bool speaks_v1;
    std::vector<std::string> joined;
    std::deque<Joining> joining;  ///< Bound, with `joined`: v1::kBoardsMax, and one that is unwanted.
    bool asking = false;          ///< The hub is being asked for the first of `joining`.

    bool has(std::string_view board) const {
        return std::ranges::find(joined, board) != joined.end() ||
               std::ranges::any_of(joining, [&](const Joining& one) { return one.wants(board); });
    }
    bool is_full() const {
        const std::size_t unwanted = !joining.empty() && joining.front().unwanted ? 1 : 0;
        return joined.size() + joining.size() - unwanted >= v1::kBoardsMax;
    }
};

}  // namespace boardbus::web

// The names of the history's keys in Redis. Spec: docs/protocol.md, section 6.
//
// They begin with the channel's name, so that two pipelines that share a database and not a channel do not share a history. In a cluster
// the name carries the hash tag (RedisOptions::tagged), so that all of them are in one slot.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace boardbus::transport {

struct RedisHistoryKeys {
    explicit RedisHistoryKeys(std::string_view base)
        : prefix(std::string(base) + ':'),
          state(prefix + "state"),
          log(prefix + "log"),
          boards(prefix + "boards"),
          stale(prefix + "stale"),
          board_prefix(prefix + "board:") {}

    std::string of_board(std::string_view board) const { return board_prefix + std::string(board); }

    std::string prefix;
    std::string state;         ///< Hash: epoch, pos, kept (events in all boards' streams), `seq:<board>`.
    std::string log;           ///< Stream of all events, ids `0-<pos>`.
    std::string boards;        ///< Sorted set: board, by the pos of its last event.
    std::string stale;         ///< Sorted set: boards of lost histories whose streams still have to go.
    std::string board_prefix;  ///< Streams of one board each, ids `0-<seq>`.
};

}  // namespace boardbus::transport

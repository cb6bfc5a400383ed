// The atomic step in Redis' own language: dedupe, position, history, publish; and the script that makes room when memory is full.
//
// A script is not rolled back, so whatever can fail comes before the first write, and PUBLISH, whose permission is asked for first, is the
// last. The scripts have a `#!lua` line, with which Redis 7 refuses (OOM, READONLY, NOREPLICAS, MISCONF) before the first effect instead of
// in its middle. Pure: commands and replies.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "board/ports.h"
#include "transport/history_bounds.h"
#include "transport/redis_history_keys.h"
#include "transport/redis_protocol.h"

namespace boardbus::transport {

class RedisCommitScript {
  public:
    /// `prefix` of the idempotency keys. In a cluster it and `keys` have the same hash tag.
    RedisCommitScript(std::string prefix, std::chrono::seconds ttl, std::string channel, RedisHistoryKeys keys,
                      HistoryBounds bounds);

    /// The call for one event. `now` ages the history; `epoch` names a history that has to begin, and must be random.
    void add_commit(RedisCommands& commands, const board::CommitRequest& request, WallTime now,
                    std::string_view epoch) const;

    void add_load(RedisCommands& commands) const;

    /// A harmless write under the same rules as a commit: refused whenever that would be refused, by permissions too.
    void add_probe(RedisCommands& commands) const;

    /// Drops the oldest eighth of the log, and as many events of the boards that were idle longest; allowed when memory is full. Answers
    /// how many events went: none when the history is not what fills Redis.
    void add_make_room(RedisCommands& commands) const;

  private:
    const RedisHistoryKeys keys_;
    const std::string prefix_;
    const std::string channel_;
    const std::string script_;
    const std::string hash_;
};

/// What the reply to one event's script call means.
board::CommitResult to_commit_result(const redisReply& reply);

/// Of an array of integers; 0 when there is none.
long long number_at(const redisReply& reply, std::size_t index);

}  // namespace boardbus::transport

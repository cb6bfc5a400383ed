// The history in Redis, as readers of it see it.
//
// A connection of its own, because a subscriber's may carry nothing else (RESP2). One read is one script call, so that what it says fits
// together, and its reply has a bound in bytes. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "board/cursor.h"
#include "board/ports.h"
#include "transport/redis_connection.h"
#include "transport/redis_history_keys.h"

namespace boardbus::transport {

/// The end of the log.
struct HistoryTail {
    std::string epoch;      ///< "": there is no history.
    std::uint64_t pos = 0;  ///< Of the newest event.
    std::string event_id;   ///< Its id; empty when it is no longer kept.
};

class RedisHistory final : public board::ActivityHistory, private RedisOwner {
  public:
    /// Up: it can be asked. Down: why not; told once per cause.
    using OnState = std::move_only_function<void(Result<void>)>;
    using TailDone = std::move_only_function<void(Result<HistoryTail>)>;

    // One reply of Redis may have 16 MiB, one event 6 MiB (1 MiB of text, escaped).
    static constexpr std::size_t kPageBytesMax = std::size_t{4} << 20;
    /// Events in one page, whatever is asked for.
    static constexpr std::size_t kPageEventsMax = 1000;

    RedisHistory(Loop& loop, RedisOptions redis, std::string_view channel, OnState on_state);
    /// Calls nobody: reads under way are forgotten.
    ~RedisHistory() = default;

    void start() { connection_.start(); }
    bool is_up() const { return connection_.is_up(); }

    void read_board_after(std::string board, std::uint64_t after, std::size_t limit, board::HistoryDone done) override;
    void read_board_before(std::string board, std::uint64_t before, std::size_t limit,
                           board::HistoryDone done) override;
    void read_all_after(std::uint64_t after, std::size_t limit, board::HistoryDone done) override;

    void read_tail(TailDone done);

  private:
    enum class Direction { after, before };

    /// Where events stand in an order.
    struct Sequence {
        std::string stream;
        std::string newest;                       ///< The field of the newest number in the state.
        std::uint64_t board::Position::* number;  ///< What numbers them.
    };

    void on_redis_up() override { on_state_({}); }
    void on_redis_down(const Error& error) override { on_state_(std::unexpected(error)); }
    void on_redis_messages(const std::vector<RedisReply>&) override {}
    Sequence board_sequence(const std::string& board) const;
    void read(const Sequence& from, Direction direction, std::uint64_t place, std::size_t limit,
              board::HistoryDone done);

    const RedisHistoryKeys keys_;
    OnState on_state_;
    RedisConnection connection_;
};

}  // namespace boardbus::transport

// The events as they happen: one subscription on a connection of its own (RESP2 allows nothing else on it).
//
// Redis keeps nothing for a subscriber that is away: whoever listens here learns from `on_state` that there may be a hole. A silent Redis
// is given half a minute before the subscription is given up. Lives on the
// bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "board/ports.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {

class RedisFeed final : private RedisOwner {
  public:
    /// Live: every event from now on arrives. Not live: why; told once per cause.
    using OnState = std::move_only_function<void(Result<void>)>;

    /// All events that one read brought go to `sink` in one call. Bound: a message over 16 MiB costs the connection.
    RedisFeed(Loop& loop, RedisOptions redis, std::string channel, board::ActivitySink& sink, OnState on_state);
    ~RedisFeed() = default;

    void start() { connection_.start(); }
    bool is_live() const { return live_; }
    std::uint64_t reconnects() const { return connection_.reconnects(); }

  private:
    void on_redis_up() override;
    void on_redis_down(const Error& error) override;
    void on_redis_silent(bool silent) override;
    void on_redis_messages(const std::vector<RedisReply>& messages) override;

    const std::string channel_;
    board::ActivitySink& sink_;
    OnState on_state_;
    bool live_ = false;
    RedisConnection connection_;
};

}  // namespace boardbus::transport

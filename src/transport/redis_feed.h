// The events as they happen, without a hole: a subscription, and the log for whatever the subscription missed.
//
// Redis keeps no message for a subscriber that is away, and throws one out that reads too slowly. So after each subscribing, whenever a
// message does not continue the last one, and when the end of the log (asked for every 750 ms) says that a message is missing, the log is
// read from the last event on (ActivityFollower decides). A silent Redis is given half a minute before the subscription is given up.
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "board/ports.h"
#include "telemetry/metrics.h"
#include "transport/activity_follower.h"
#include "transport/redis_connection.h"
#include "transport/redis_history.h"

namespace boardbus::transport {

class RedisFeed final : private RedisOwner {
  public:
    /// Live: subscribed, and everything until now has been shown. Not live: why; told once per cause.
    using OnState = std::move_only_function<void(Result<void>)>;

    /// All events that one read brought go to `sink` in one call. Bound: a message over 16 MiB costs the connection.
    RedisFeed(Loop& loop, RedisOptions redis, std::string channel, board::ActivitySink& sink,
              telemetry::Metrics& metrics, OnState on_state);
    ~RedisFeed() = default;

    void start();
    bool is_live() const { return live_; }
    std::uint64_t reconnects() const { return connection_.reconnects(); }
    board::ActivityHistory& history() { return history_; }
    const ActivityFollower::Counts& counts() const { return follower_.counts(); }

  private:
    void on_redis_up() override;
    void on_redis_down(const Error& error) override;
    void on_redis_silent(bool silent) override;
    void on_redis_messages(const std::vector<RedisReply>& messages) override;
    void on_history(const Result<void>& up);
    void ask(ActivityFollower::Ask what);
    void on_no_answer(const Error& error);
    void look();
    void look_again();
    void report();
    void tell_live();
    void tell_away(const Error& error);

    const std::string channel_;
    board::ActivitySink& sink_;
    telemetry::Metrics& metrics_;
    OnState on_state_;

    ActivityFollower follower_;
    ActivityFollower::Counts reported_;
    std::uint64_t foreign_told_ = 0;
    bool subscribed_ = false;
    bool silent_ = false;
    bool live_ = false;
    std::string away_;            // Why not live, as it was told.
    std::uint64_t question_ = 0;  // The last one; answers to others are void.
    std::uint64_t behind_ = 0;    // The log was so far when it was looked at.
    Timer ask_again_;
    Timer look_;
    Timer look_again_;
    RedisConnection connection_;
    RedisHistory history_;
};

}  // namespace boardbus::transport

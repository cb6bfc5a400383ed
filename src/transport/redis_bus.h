// The commit step on Redis: dedupe and publish as one atomic script call per event, one transaction per batch.
//
// A batch travels in one piece (MULTI, one EVALSHA for each event, EXEC), so that it happens as a whole or not at all: when Redis
// fills up or is cut off half way, no later event overtakes an earlier one. After an outage it waits, for a bounded time, until as many
// apps listen as did before: Redis keeps nothing for a subscriber that comes back later than the event. The script has a `#!lua` line, with which Redis 7 refuses
// (OOM, READONLY, NOREPLICAS, MISCONF) before the script's first effect instead of in its middle. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {

struct RedisBusOptions {
    RedisOptions redis;
    std::string prefix = "advanced:idempotency";  ///< Of the idempotency keys.
    std::chrono::seconds ttl{300};                ///< Their life.
    std::string channel = "advanced:activity";
};

/// What the reply to one event's script call means.
board::CommitResult to_commit_result(const redisReply& reply);

class RedisBus final : public board::ActivityBus, private RedisOwner {
  public:
    /// Up: Redis can be asked. Down: why not; told once per cause.
    using OnState = std::move_only_function<void(Result<void>)>;

    RedisBus(Loop& loop, RedisBusOptions options, OnState on_state);
    /// Calls nobody: operations under way are forgotten.
    ~RedisBus() = default;

    void start() { connection_.start(); }

    /// While a batch is under way the next one should wait: if the first is refused, the second may still succeed.
    void commit(std::vector<board::CommitRequest> batch, CommitDone done) override;
    void probe(std::move_only_function<void(Result<void>)> done) override;
    void count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) override;
    void forget_attempts(const std::string& id) override;

    /// Commits can be tried: Redis is there and, after an outage, the apps are too.
    bool is_up() const { return connection_.is_up() && !readers_away_; }
    std::uint64_t reconnects() const { return connection_.reconnects(); }

  private:
    struct Batch {
        std::vector<board::CommitRequest> requests;
        CommitDone done;
    };
    enum class Script { expected, load_first };

    void on_redis_up() override;
    void on_redis_down(const Error& error) override;
    void on_redis_messages(const std::vector<RedisReply>&) override {}
    void add_commit(RedisCommands& commands, const board::CommitRequest& request) const;
    void send(Batch batch, Script script);
    void on_batch_replies(Batch batch, Script script, std::vector<RedisReply> replies);
    void refuse(Batch batch, const std::string& detail, board::CommitResult::Status status);
    void ask_for_readers();
    void drop_replica(std::string_view error);

    const RedisBusOptions options_;
    const std::string ttl_;
    const std::string script_hash_;
    OnState on_state_;
    Loop& loop_;
    RedisConnection connection_;

    // Who listens: as many as the last event reached, and after a reconnect the wait for them.
    long long receivers_ = 0;
    bool readers_away_ = false;
    Instant readers_due_;
    Timer readers_timer_;
};

}  // namespace boardbus::transport

// The commit step on Redis: one atomic script call per event, one transaction per batch.
//
// A batch travels in one piece (MULTI, one EVALSHA for each event, EXEC), so that it happens as a whole or not at all: when Redis
// fills up or is cut off half way, no later event overtakes an earlier one. A reply that is lost is asked for again by the next try, which
// finds duplicates. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "transport/history_bounds.h"
#include "transport/redis_commit_script.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {

struct RedisBusOptions {
    RedisOptions redis;
    std::string prefix = "advanced:idempotency";  ///< Of the idempotency keys.
    std::chrono::seconds ttl{300};                ///< Their life.
    std::string channel = "advanced:activity";
    HistoryBounds history;
    /// A commit counts once so many replicas have it (WAIT); fewer within `wait_timeout` is an outage.
    std::int64_t wait_replicas = 0;
    std::chrono::milliseconds wait_timeout{1000};
};

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
    void take_back_attempt(const std::string& id) override;

    bool is_up() const { return connection_.is_up(); }
    std::uint64_t reconnects() const { return connection_.reconnects(); }

  private:
    struct Batch {
        std::vector<board::CommitRequest> requests;
        CommitDone done;
    };
    enum class Room { as_it_is, made };
    /// What has already been done for a batch.
    struct Attempt {
        bool load_first = false;
        Room room = Room::as_it_is;
    };

    void on_redis_up() override;
    void on_redis_down(const Error& error) override;
    void on_redis_messages(const std::vector<RedisReply>&) override {}
    void send(Batch batch, Attempt attempt);
    void on_batch_replies(Batch batch, Attempt attempt, std::vector<RedisReply> replies);
    void on_refused(Batch batch, Attempt attempt, const std::vector<RedisReply>& replies);
    void probe(Room room, std::move_only_function<void(Result<void>)> done);
    void make_room(const std::string& why, std::move_only_function<void(bool freed)> done);
    void refuse(Batch batch, const std::string& detail, board::CommitResult::Status status);
    std::string attempts_key(const std::string& id) const;
    void forget_later(const std::string& id);

    const RedisBusOptions options_;
    const RedisCommitScript script_;
    const std::string worker_;  ///< Its name in the counts of attempts; another in every process.
    OnState on_state_;
    RedisConnection connection_;
    bool room_told_ = false;  // Since the last commit that succeeded: the log has been told that room was made.
    // Attempts that are, or may be, in Redis and killed nobody; for when it is back. Beyond kForgetMax they live their hour.
    std::set<std::string> to_forget_;
};

}  // namespace boardbus::transport

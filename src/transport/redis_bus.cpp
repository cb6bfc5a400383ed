// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_bus.h"

#include <utility>

#include "base/clock.h"
#include "base/fault.h"
#include "base/random.h"
#include "board/cursor.h"
#include "telemetry/log.h"

namespace boardbus::transport {
namespace {

using board::CommitResult;
using Status = CommitResult::Status;

// A set of the workers that have begun the message. Older versions had a plain number there: it is dropped. Taken by a full Redis, too:
// only the commit that waits behind it can make room.
constexpr std::string_view kAttemptScript = R"lua(#!lua flags=allow-oom
if redis.call('TYPE', KEYS[1]).ok == 'string' then redis.call('DEL', KEYS[1]) end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('SCARD', KEYS[1]))lua";
// An outage leaves one per delivery that was begun when it came. 1,024 × about 100 B = 100 KB at worst.
constexpr std::size_t kForgetMax = 1024;

bool is_noscript(const redisReply& reply) {
    return is_error(reply) && text_of(reply).starts_with("NOSCRIPT");
}

bool is_full(std::string_view detail) {
    return detail.starts_with("OOM");
}

}  // namespace

RedisBus::RedisBus(Loop& loop, RedisBusOptions options, OnState on_state)
    : options_(std::move(options)),
      script_(options_.redis.tagged(options_.prefix), options_.ttl, options_.channel,
              RedisHistoryKeys(options_.redis.tagged(options_.channel)), options_.history),
      worker_(random_uuid()),
      on_state_(std::move(on_state)),
      connection_(loop, *this, options_.redis) {}

void RedisBus::on_redis_up() {
    // Only spares the first batch a round trip: whoever meets NOSCRIPT later loads it again.
    RedisCommands commands;
    script_.add_load(commands);
    connection_.send(commands, [](auto) {});
    for (const std::string& id : std::exchange(to_forget_, {})) {
        take_back_attempt(id);
    }
    on_state_({});
}

void RedisBus::on_redis_down(const Error& error) {
    on_state_(std::unexpected(error));
}

void RedisBus::commit(std::vector<board::CommitRequest> batch, CommitDone done) {
    if (batch.empty()) {
        return done({});
    }
    send(Batch{std::move(batch), std::move(done)}, Attempt{});
}

void RedisBus::send(Batch batch, Attempt attempt) {
    RedisCommands commands;
    if (attempt.load_first) {
        script_.add_load(commands);
    }
    commands.add({"MULTI"});
    const std::string epoch = board::epoch_text(random_u64());
    const WallTime now = wall_now();
    for (const board::CommitRequest& request : batch.requests) {
        script_.add_commit(commands, request, now, epoch);
    }
    commands.add({"EXEC"});
    if (options_.wait_replicas > 0) {
        commands.add({"WAIT", std::to_string(options_.wait_replicas), std::to_string(options_.wait_timeout.count())});
    }
    if (connection_.is_up()) {
        fault::point("worker.before_commit");
    }
    connection_.send(commands,
                     [this, attempt, batch = std::move(batch)](Result<std::vector<RedisReply>> replies) mutable {
                         if (!replies) {
                             return refuse(std::move(batch), replies.error().detail, Status::unavailable);
                         }
                         on_batch_replies(std::move(batch), attempt, std::move(*replies));
                     });
}

void RedisBus::on_batch_replies(Batch batch, Attempt attempt, std::vector<RedisReply> replies) {
    std::optional<long long> acknowledged;
    if (options_.wait_replicas > 0) {
        acknowledged = replies.back()->type == REDIS_REPLY_INTEGER ? replies.back()->integer : 0;
        replies.pop_back();
    }
    const redisReply& outcome = *replies.back();
    if (outcome.type != REDIS_REPLY_ARRAY || outcome.elements != batch.requests.size()) {
        return on_refused(std::move(batch), attempt, replies);
    }
    // One transaction sees one script cache: NOSCRIPT for one is NOSCRIPT for all.
    if (is_noscript(*outcome.element[0])) {
        if (!attempt.load_first) {
            attempt.load_first = true;
            return send(std::move(batch), attempt);
        }
        // Redis before 7 does not take the script, and says why to SCRIPT LOAD.
        return refuse(std::move(batch), "SCRIPT LOAD: " + std::string(text_of(*replies.front())), Status::unavailable);
    }
    room_told_ = false;
    if (acknowledged && *acknowledged < options_.wait_replicas) {
        // It happened, but a failover could still undo it. The next try finds duplicates and waits for the replicas again. A master that
        // all replicas have left may be one no longer.
        connection_.check_master();
        return refuse(std::move(batch),
                      "WAIT: " + std::to_string(*acknowledged) + " of " + std::to_string(options_.wait_replicas) +
                          " replicas within " + std::to_string(options_.wait_timeout.count()) + " ms",
                      Status::unavailable);
    }
    std::vector<CommitResult> results;
    results.reserve(outcome.elements);
    for (std::size_t i = 0; i < outcome.elements; ++i) {
        results.push_back(to_commit_result(*outcome.element[i]));
    }
    fault::point("worker.after_commit");
    batch.done(std::move(results));
}

/// Nothing has happened. The first error says why: one command's refusal undoes the whole transaction.
void RedisBus::on_refused(Batch batch, Attempt attempt, const std::vector<RedisReply>& replies) {
    const redisReply* cause = replies.back().get();
    for (const RedisReply& reply : replies) {
        if (is_error(*reply)) {
            cause = reply.get();
            break;
        }
    }
    CommitResult refused = to_commit_result(*cause);
    if (!is_full(refused.detail) || attempt.room == Room::made || !connection_.is_up()) {
        return refuse(std::move(batch), refused.detail, refused.status);
    }
    attempt.room = Room::made;
    const std::string why = refused.detail;
    make_room(why, [this, attempt, batch = std::move(batch), refused = std::move(refused)](bool freed) mutable {
        freed ? send(std::move(batch), attempt) : refuse(std::move(batch), refused.detail, refused.status);
    });
}

/// Redis is full, perhaps of our own history. Were the history never to give way, nothing could ever be committed again.
void RedisBus::make_room(const std::string& why, std::move_only_function<void(bool freed)> done) {
    RedisCommands commands;
    script_.add_make_room(commands);
    connection_.send(commands, [this, why,
                                done = std::move(done)](const Result<std::vector<RedisReply>>& replies) mutable {
        const bool freed = replies && replies->front()->type == REDIS_REPLY_INTEGER && replies->front()->integer > 0;
        if (freed && !std::exchange(room_told_, true)) {
            telemetry::log(telemetry::Level::warn, "history_trimmed",
                           {{"reason", why},
                            {"events", static_cast<std::int64_t>(replies->front()->integer)},
                            {"result", "the oldest part of the history goes, an eighth per attempt"}});
        }
        done(freed);
    });
}

void RedisBus::refuse(Batch batch, const std::string& detail, Status status) {
    batch.done(std::vector(batch.requests.size(), CommitResult{.status = status, .detail = detail}));
}

void RedisBus::probe(std::move_only_function<void(Result<void>)> done) {
    probe(Room::as_it_is, std::move(done));
}

/// Makes room as a commit would: who begins with a probe, or comes back with one, would never get to a commit.
void RedisBus::probe(Room room, std::move_only_function<void(Result<void>)> done) {
    RedisCommands commands;
    script_.add_probe(commands);
    connection_.send(commands, [this, room, done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            return done(std::unexpected(replies.error()));
        }
        const redisReply& reply = *replies->front();
        if (!is_error(reply)) {
            return done({});
        }
        Error refused = redis_error(text_of(reply));
        if (!is_full(refused.detail) || room == Room::made || !connection_.is_up()) {
            return done(std::unexpected(std::move(refused)));
        }
        const std::string why = refused.detail;
        make_room(why, [this, refused = std::move(refused), done = std::move(done)](bool freed) mutable {
            freed ? probe(Room::made, std::move(done)) : done(std::unexpected(std::move(refused)));
        });
    });
}

std::string RedisBus::attempts_key(const std::string& id) const {
    return options_.redis.tagged("advanced:attempts") + ":" + id;
}

void RedisBus::count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) {
    to_forget_.erase(id);
    const auto commands = RedisCommands().add({"EVAL", kAttemptScript, "1", attempts_key(id), worker_});
    connection_.send(commands, [this, id, done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            // Perhaps it was counted. Nobody may ask again: the message can go to another worker.
            forget_later(id);
            return done(std::unexpected(replies.error()));
        }
        const redisReply& reply = *replies->front();
        if (is_error(reply) || reply.type != REDIS_REPLY_INTEGER) {
            forget_later(id);  // What an earlier try may have left.
            return done(std::unexpected(redis_error(text_of(reply))));
        }
        done(reply.integer);
    });
}

void RedisBus::forget_attempts(const std::string& id) {
    connection_.send(RedisCommands().add({"DEL", attempts_key(id)}), [this, id](const auto& replies) {
        if (!replies || is_error(*replies->front())) {
            forget_later(id);
        }
    });
}

/// Not the whole count: meanwhile others may have died of it.
void RedisBus::take_back_attempt(const std::string& id) {
    connection_.send(RedisCommands().add({"SREM", attempts_key(id), worker_}), [this, id](const auto& replies) {
        if (!replies || is_error(*replies->front())) {
            forget_later(id);
        }
    });
}

void RedisBus::forget_later(const std::string& id) {
    if (to_forget_.size() < kForgetMax) {
        to_forget_.insert(id);
    }
}

}  // namespace boardbus::transport

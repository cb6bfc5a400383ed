// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_bus.h"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include "base/fault.h"

namespace boardbus::transport {
namespace {

using board::CommitResult;
using Status = CommitResult::Status;

// KEYS: the event's key, the key that an event gets whose key belongs to another one.
// ARGV: life in seconds, fingerprint, event id, channel, activity.
// A key's value is `<fingerprint> <event id>`. A value of another form is another implementation's mark for an event that it has
// handled. PUBLISH comes last because a script is not rolled back; when it is refused (ACL) the claim is withdrawn.
// Answers {outcome, subscribers that got it}.
constexpr std::string_view kCommitScript = R"lua(#!lua
local function publish(key, outcome)
  redis.call('SET', key, ARGV[2] .. ' ' .. ARGV[3], 'EX', ARGV[1])
  local receivers = redis.pcall('PUBLISH', ARGV[4], ARGV[5])
  if type(receivers) == 'table' then
    redis.call('DEL', key)
    return receivers
  end
  return {outcome, receivers}
end
local mark = redis.call('GET', KEYS[1])
if not mark then
  return publish(KEYS[1], 1)
end
local owner = string.match(mark, '^(%x+) .+$')
if not owner then
  return {2, 0}
end
if owner == ARGV[2] then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  return {2, 0}
end
if redis.call('EXPIRE', KEYS[2], ARGV[1]) == 1 then
  return {2, 0}
end
return publish(KEYS[2], 3)
)lua";
constexpr long long kFresh = 1;
constexpr long long kDuplicate = 2;
constexpr long long kConflict = 3;

constexpr std::chrono::milliseconds kAskForReadersAgain{50};
constexpr const char* kReadersAway = "the apps have not subscribed again";

// Under the same rules as the commit: refused whenever that would be refused.
constexpr std::string_view kProbeScript = "#!lua\nreturn redis.call('SET', KEYS[1], ARGV[1], 'EX', 60)";
// In the form of our marks, so that an event whose key is empty meets a conflict and is delivered.
constexpr std::string_view kProbeMark = "0000000000000000 probe";

constexpr std::string_view kAttemptScript =
    "#!lua\nlocal count = redis.call('INCR', KEYS[1])\nredis.call('EXPIRE', KEYS[1], 3600)\nreturn count";

std::string sha1_hex(std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
    std::string hex;
    for (unsigned i = 0; i < size; ++i) {
        hex += "0123456789abcdef"[digest[i] >> 4];
        hex += "0123456789abcdef"[digest[i] & 15];
    }
    return hex;
}

/// Of an array of integers; 0 when there is none.
long long number_at(const redisReply& reply, std::size_t index) {
    const bool there = reply.type == REDIS_REPLY_ARRAY && reply.elements > index;
    return there && reply.element[index]->type == REDIS_REPLY_INTEGER ? reply.element[index]->integer : 0;
}

bool is_noscript(const redisReply& reply) {
    return is_error(reply) && text_of(reply).starts_with("NOSCRIPT");
}

CommitResult from_error(std::string_view text) {
    Error error = redis_error(text);
    const Status status = error.code == Errc::unavailable ? Status::unavailable : Status::failed;
    return {.status = status, .detail = std::move(error.detail)};
}

}  // namespace

CommitResult to_commit_result(const redisReply& reply) {
    if (is_error(reply)) {
        return from_error(text_of(reply));
    }
    switch (number_at(reply, 0)) {
        case kFresh:
            return {.status = Status::fresh, .detail = ""};
        case kDuplicate:
            return {.status = Status::duplicate, .detail = ""};
        case kConflict:
            return {.status = Status::conflict, .detail = "the key belongs to another event"};
        default:
            return {.status = Status::unavailable, .detail = "Redis answered the commit with something else"};
    }
}

RedisBus::RedisBus(Loop& loop, RedisBusOptions options, OnState on_state)
    : options_(std::move(options)),
      ttl_(std::to_string(options_.ttl.count())),
      script_hash_(sha1_hex(kCommitScript)),
      on_state_(std::move(on_state)),
      loop_(loop),
      connection_(loop, *this, options_.redis),
      readers_timer_(loop, [this] { ask_for_readers(); }) {}

void RedisBus::on_redis_up() {
    // Only spares the first batch a round trip: whoever meets NOSCRIPT later loads it again.
    connection_.send(RedisCommands().add({"SCRIPT", "LOAD", kCommitScript}), [](auto) {});
    on_state_({});
    if (receivers_ > 0) {
        readers_away_ = true;
        readers_due_ = loop_.now() + options_.redis.reconnect_max + options_.redis.connect_timeout;
        ask_for_readers();
    }
}

void RedisBus::on_redis_down(const Error& error) {
    readers_timer_.stop();
    readers_away_ = false;
    on_state_(std::unexpected(error));
}

void RedisBus::ask_for_readers() {
    connection_.send(RedisCommands().add({"PUBSUB", "NUMSUB", options_.channel}), [this](const auto& replies) {
        if (!connection_.is_up()) {
            return;  // The next time up begins anew.
        }
        const long long subscribed = replies ? number_at(*replies->front(), 1) : 0;
        const bool forbidden = replies && is_error(*replies->front());  // Who may not ask cannot wait.
        if (subscribed >= receivers_ || forbidden || loop_.now() >= readers_due_) {
            receivers_ = subscribed;
            readers_away_ = false;
        } else {
            readers_timer_.start(kAskForReadersAgain);
        }
    });
}

void RedisBus::commit(std::vector<board::CommitRequest> batch, CommitDone done) {
    if (batch.empty()) {
        return done({});
    }
    if (connection_.is_up() && readers_away_) {
        return refuse(Batch{std::move(batch), std::move(done)}, kReadersAway, Status::unavailable);
    }
    send(Batch{std::move(batch), std::move(done)}, Script::expected);
}

void RedisBus::add_commit(RedisCommands& commands, const board::CommitRequest& request) const {
    const std::string key = options_.prefix + ":" + request.idempotency_key;
    commands.add({"EVALSHA", script_hash_, "2", key, key + ":" + request.fingerprint, ttl_, request.fingerprint,
                  request.event_id, options_.channel, request.activity});
}

void RedisBus::send(Batch batch, Script script) {
    RedisCommands commands;
    if (script == Script::load_first) {
        commands.add({"SCRIPT", "LOAD", kCommitScript});
    }
    commands.add({"MULTI"});
    for (const board::CommitRequest& request : batch.requests) {
        add_commit(commands, request);
    }
    commands.add({"EXEC"});
    if (connection_.is_up()) {
        fault::point("worker.before_commit");
    }
    connection_.send(commands,
                     [this, script, batch = std::move(batch)](Result<std::vector<RedisReply>> replies) mutable {
                         if (!replies) {
                             return refuse(std::move(batch), replies.error().detail, Status::unavailable);
                         }
                         on_batch_replies(std::move(batch), script, std::move(*replies));
                     });
}

void RedisBus::on_batch_replies(Batch batch, Script script, std::vector<RedisReply> replies) {
    const redisReply& outcome = *replies.back();
    if (outcome.type != REDIS_REPLY_ARRAY || outcome.elements != batch.requests.size()) {
        // Nothing has happened. The first error says why: one command's refusal undoes the whole transaction.
        const redisReply* cause = &outcome;
        for (const RedisReply& reply : replies) {
            if (is_error(*reply)) {
                cause = reply.get();
                break;
            }
        }
        drop_replica(text_of(*cause));
        const CommitResult refused = to_commit_result(*cause);
        return refuse(std::move(batch), refused.detail, refused.status);
    }
    // One transaction sees one script cache: NOSCRIPT for one is NOSCRIPT for all.
    if (is_noscript(*outcome.element[0])) {
        if (script == Script::expected) {
            return send(std::move(batch), Script::load_first);
        }
        // Redis before 7 does not take the script, and says why to SCRIPT LOAD.
        return refuse(std::move(batch), "SCRIPT LOAD: " + std::string(text_of(*replies.front())), Status::unavailable);
    }
    std::vector<CommitResult> results;
    results.reserve(outcome.elements);
    for (std::size_t i = 0; i < outcome.elements; ++i) {
        const redisReply& reply = *outcome.element[i];
        results.push_back(to_commit_result(reply));
        if (results.back().status == Status::fresh) {
            receivers_ = number_at(reply, 1);
        }
    }
    fault::point("worker.after_commit");
    batch.done(std::move(results));
}

void RedisBus::refuse(Batch batch, const std::string& detail, Status status) {
    batch.done(std::vector(batch.requests.size(), CommitResult{.status = status, .detail = detail}));
}

void RedisBus::drop_replica(std::string_view error) {
    // The master has moved; the name may lead to the new one. The old connection never would.
    if (error.starts_with("READONLY")) {
        connection_.drop(redis_error(error));
    }
}

void RedisBus::probe(std::move_only_function<void(Result<void>)> done) {
    if (connection_.is_up() && readers_away_) {
        return done(fail(Errc::unavailable, kReadersAway));
    }
    const auto commands = RedisCommands().add({"EVAL", kProbeScript, "1", options_.prefix + ":", kProbeMark});
    connection_.send(commands, [this, done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            return done(std::unexpected(replies.error()));
        }
        const redisReply& reply = *replies->front();
        if (!is_error(reply)) {
            return done({});
        }
        drop_replica(text_of(reply));
        done(std::unexpected(redis_error(text_of(reply))));
    });
}

void RedisBus::count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) {
    const auto commands = RedisCommands().add({"EVAL", kAttemptScript, "1", "advanced:attempts:" + id});
    connection_.send(commands, [done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            return done(std::unexpected(replies.error()));
        }
        const redisReply& reply = *replies->front();
        if (is_error(reply) || reply.type != REDIS_REPLY_INTEGER) {
            return done(std::unexpected(redis_error(text_of(reply))));
        }
        done(reply.integer);
    });
}

void RedisBus::forget_attempts(const std::string& id) {
    // Unanswered on purpose: a count that stays lives an hour and needs three crashes to matter.
    connection_.send(RedisCommands().add({"DEL", "advanced:attempts:" + id}), [](const auto&) {});
}

}  // namespace boardbus::transport

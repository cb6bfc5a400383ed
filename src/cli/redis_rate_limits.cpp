// SPDX-License-Identifier: Apache-2.0
#include "cli/redis_rate_limits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "telemetry/log.h"

namespace boardbus::cli {
namespace {

// One step, so that a window never lacks its end. KEYS: the window. ARGV: its length in milliseconds. Answers {count, rest in ms}.
constexpr std::string_view kHitScript = R"lua(
local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {count, redis.call('PTTL', KEYS[1])}
)lua";

constexpr std::string_view kKeyPrefix = "advanced:ratelimit";

transport::RedisOptions impatient(transport::RedisOptions options) {
    // A request waits for this answer.
    options.reply_timeout = std::chrono::seconds(1);
    return options;
}

web::RateDecision decision_of(const Result<std::vector<transport::RedisReply>>& replies, web::RateLimit limit) {
    web::RateDecision decision{
        .allowed = true, .limit = limit.count, .remaining = limit.count, .resets_in = limit.period};
    if (!replies) {
        return decision;
    }
    const redisReply& reply = *replies->front();
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2 || reply.element[0]->type != REDIS_REPLY_INTEGER ||
        reply.element[1]->type != REDIS_REPLY_INTEGER) {
        return decision;
    }
    const std::int64_t count = reply.element[0]->integer;
    decision.allowed = count <= limit.count;
    decision.remaining = std::max<std::int64_t>(0, limit.count - count);
    decision.resets_in = std::chrono::milliseconds(std::max<std::int64_t>(0, reply.element[1]->integer));
    return decision;
}

}  // namespace

RedisRateLimits::RedisRateLimits(Loop& bus_loop, transport::RedisOptions options)
    : bus_loop_(bus_loop),
      key_prefix_(options.tagged(kKeyPrefix) + ":"),
      connection_(bus_loop, *this, impatient(std::move(options))) {
    connection_.start();
}

void RedisRateLimits::hit(std::string_view scope, std::string_view client, web::RateLimit limit, Loop& loop,
                          Decided decided) {
    std::string key(key_prefix_);
    key.append(scope).append(1, ':').append(client);
    if (&loop == &bus_loop_) {
        return ask(key, limit, loop, std::move(decided));
    }
    // Bound: one question per HTTP connection.
    bus_loop_.post([this, key = std::move(key), limit, &loop, decided = std::move(decided)]() mutable {
        ask(key, limit, loop, std::move(decided));
    });
}

void RedisRateLimits::ask(const std::string& key, web::RateLimit limit, Loop& loop, Decided decided) {
    const auto period = std::chrono::milliseconds(limit.period).count();
    const auto commands = transport::RedisCommands().add({"EVAL", kHitScript, "1", key, std::to_string(period)});
    connection_.send(commands, [this, limit, &loop, decided = std::move(decided)](const auto& replies) mutable {
        const web::RateDecision decision = decision_of(replies, limit);
        if (&loop == &bus_loop_) {
            return decided(decision);
        }
        loop.post([decision, decided = std::move(decided)]() mutable { decided(decision); });
    });
}

void RedisRateLimits::on_redis_up() {
    telemetry::log(telemetry::Level::info, "rate_limits_shared");
}

void RedisRateLimits::on_redis_down(const Error& error) {
    telemetry::log(telemetry::Level::warn, "rate_limits_unavailable", {{"reason", error.detail}});
}

}  // namespace boardbus::cli

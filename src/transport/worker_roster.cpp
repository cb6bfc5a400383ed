// SPDX-License-Identifier: Apache-2.0
#include "transport/worker_roster.h"

#include <chrono>
#include <utility>

namespace boardbus::transport {
namespace {

constexpr std::chrono::seconds kEvery{1};

// The clock of Redis, so that those of the workers need not agree. ARGV: id, silence in ms after which a worker is taken off, most ids.
constexpr std::string_view kTellScript = R"lua(#!lua
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
local members = redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1)
table.sort(members)
return members
)lua";
constexpr std::string_view kSilenceMs = "5000";

}  // namespace

WorkerRoster::WorkerRoster(Loop& loop, RedisOptions redis, std::string key, std::string id, OnMembers on_members)
    : key_(std::move(key)),
      id_(std::move(id)),
      on_members_(std::move(on_members)),
      connection_(loop, *this, std::move(redis)),
      timer_(loop, [this] { tell(); }) {}

void WorkerRoster::tell() {
    const auto commands =
        RedisCommands().add({"EVAL", kTellScript, "1", key_, id_, kSilenceMs, std::to_string(kWorkersMax)});
    connection_.send(commands, [this](const auto& replies) { on_answer(replies); });
}

void WorkerRoster::on_answer(const Result<std::vector<RedisReply>>& replies) {
    if (connection_.is_up()) {
        timer_.start(kEvery);
    }
    if (!replies || replies->front()->type != REDIS_REPLY_ARRAY) {
        return;  // Read-only, full, away: the last answer stays.
    }
    std::vector<std::string> members;
    const redisReply& reply = *replies->front();
    members.reserve(reply.elements);
    for (std::size_t i = 0; i < reply.elements; ++i) {
        members.emplace_back(text_of(*reply.element[i]));
    }
    on_members_(members);
}

void WorkerRoster::leave() {
    timer_.stop();
    connection_.send(RedisCommands().add({"ZREM", key_, id_}), [](const auto&) {});
}

}  // namespace boardbus::transport

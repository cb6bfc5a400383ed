// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_feed.h"

#include <string_view>
#include <utility>

namespace boardbus::transport {
namespace {

RedisOptions patient(RedisOptions options) {
    options.patience = std::chrono::seconds(25);
    return options;
}

}  // namespace

RedisFeed::RedisFeed(Loop& loop, RedisOptions redis, std::string channel, board::ActivitySink& sink, OnState on_state)
    : channel_(std::move(channel)),
      sink_(sink),
      on_state_(std::move(on_state)),
      connection_(loop, *this, patient(std::move(redis))) {}

void RedisFeed::on_redis_up() {
    connection_.send(RedisCommands().add({"SUBSCRIBE", channel_}), [this](Result<std::vector<RedisReply>> replies) {
        if (!replies) {
            return;  // on_redis_down() tells.
        }
        const redisReply& reply = *replies->front();
        if (reply.type != REDIS_REPLY_ARRAY) {
            Error error = redis_error(text_of(reply));
            return connection_.drop(Error{error.code, "SUBSCRIBE " + channel_ + ": " + error.detail});
        }
        live_ = true;
        on_state_({});
    });
}

void RedisFeed::on_redis_down(const Error& error) {
    live_ = false;
    on_state_(std::unexpected(error));
}

void RedisFeed::on_redis_silent(bool silent) {
    live_ = !silent;
    on_state_(silent ? Result<void>(fail(Errc::timeout, "no reply, still subscribed")) : Result<void>());
}

void RedisFeed::on_redis_messages(const std::vector<RedisReply>& messages) {
    std::vector<std::string_view> activities;
    activities.reserve(messages.size());
    for (const RedisReply& message : messages) {
        activities.push_back(text_of(*message->element[2]));
    }
    sink_.on_activities(activities);
}

}  // namespace boardbus::transport

// Rate limits that several apps share: the windows live in Redis.
//
// It stands here because it joins a port of web/ with a connection of transport/, which do not know each other. One connection on the bus
// loop; edges of other loops ask it by post and are answered by post. While Redis is away every request is allowed: limits protect the
// service, they must not be what stops it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/loop.h"
#include "transport/redis_connection.h"
#include "web/rate_limit.h"

namespace boardbus::cli {

class RedisRateLimits final : public web::RateLimitStore, private transport::RedisOwner {
  public:
    RedisRateLimits(Loop& bus_loop, transport::RedisOptions options);

    void hit(std::string_view scope, std::string_view client, web::RateLimit limit, Loop& loop,
             Decided decided) override;

  private:
    void ask(const std::string& key, web::RateLimit limit, Loop& loop, Decided decided);
    void on_redis_up() override;
    void on_redis_down(const Error& error) override;
    void on_redis_messages(const std::vector<transport::RedisReply>&) override {}

    Loop& bus_loop_;
    const std::string key_prefix_;
    transport::RedisConnection connection_;  // Bus loop only.
};

}  // namespace boardbus::cli

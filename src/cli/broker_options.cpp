// SPDX-License-Identifier: Apache-2.0
#include "cli/broker_options.h"

#include <utility>

namespace boardbus::cli {

transport::AmqpOptions amqp_options(const Config& config, std::string name) {
    return {.brokers = config.rabbitmq.urls,
            .name = std::move(name),
            .tls = config.rabbitmq.tls,
            .reconnect_initial = config.web.reconnect_initial_delay,
            .reconnect_max = config.web.reconnect_max_delay};
}

transport::RedisOptions redis_options(const Config& config) {
    return {.url = config.redis.url,
            .tls = config.redis.tls,
            .reconnect_initial = config.web.reconnect_initial_delay,
            .reconnect_max = config.web.reconnect_max_delay,
            .hash_tag = config.redis.url.is_cluster() ? config.redis.activity_channel : ""};
}

transport::HistoryBounds history_bounds(const Config& config) {
    return {.size = config.history.size, .board_size = config.history.board_size, .age = config.history.ttl};
}

transport::RedisOptions rate_limit_options(const Config& config) {
    transport::RedisOptions options = redis_options(config);
    options.url = config.rate_limit_redis.value();
    options.hash_tag = options.url.is_cluster() ? "ratelimit" : "";
    return options;
}

}  // namespace boardbus::cli

// The configuration in the words of transport/: the one place where it is translated.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/config.h"
#include "transport/amqp_connection.h"
#include "transport/history_bounds.h"
#include "transport/redis_connection.h"

namespace boardbus::cli {

/// `name` is what RabbitMQ's tools show for the connection.
transport::AmqpOptions amqp_options(const Config& config, std::string name);

transport::RedisOptions redis_options(const Config& config);

transport::HistoryBounds history_bounds(const Config& config);

/// Of the Redis that counts requests, which has the same certificates. Only when there is one.
transport::RedisOptions rate_limit_options(const Config& config);

}  // namespace boardbus::cli

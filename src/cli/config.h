// The whole configuration as plain values: what the composition roots hand to the parts.
//
// Every field is set from options_table(), the only place where a default, a unit or a limit is written down.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "board/retry_policy.h"
#include "board/topology.h"
#include "telemetry/log.h"
#include "transport/stream.h"
#include "transport/url.h"
#include "web/options.h"

namespace boardbus::cli {

enum class EventTransport { rabbitmq, memory };

struct RabbitMqConfig {
    std::vector<transport::AmqpUrl> urls;  ///< At least one.
    board::TopologyOptions topology;
    std::size_t lanes = 1;
    board::RetryPolicy retry;
    std::uint16_t prefetch = 0;
    transport::TlsOptions tls;
};

struct PublishConfig {
    std::chrono::milliseconds timeout{};
    std::size_t window = 0;
    std::size_t queue_bytes = 0;
};

struct RedisConfig {
    transport::RedisUrl url;
    std::string activity_channel;
    std::string idempotency_prefix;
    std::chrono::seconds idempotency_ttl{};  ///< Never 0: what is unset is computed from the retry policy.
    std::int64_t wait_replicas = 0;
    std::chrono::milliseconds wait_timeout{};
    transport::TlsOptions tls;
};

struct WorkerConfig {
    std::string host;
    std::uint16_t port = 0;
    bool pause_on_outage = true;
};

struct TelemetryConfig {
    std::string service_name;
    std::optional<transport::HttpUrl> otlp_endpoint;  ///< None: no traces.
    std::vector<std::pair<std::string, std::string>> otlp_headers;
    telemetry::Level log_level = telemetry::Level::info;
    std::optional<telemetry::LogFormat> log_format;  ///< None: text on a terminal, else JSON.
};

struct HistoryConfig {
    std::size_t size = 0;
    std::size_t board_size = 0;
    std::chrono::seconds ttl{};
};

struct Config {
    /// As the variables say; the connection limit is not yet compared with the file limit. The worker uses its reconnect delays and
    /// its shutdown grace, too.
    web::Options web;
    EventTransport event_transport = EventTransport::rabbitmq;
    std::size_t threads = 0;  ///< Web loops; 0: one per core that the process may use.
    RabbitMqConfig rabbitmq;
    PublishConfig publish;
    RedisConfig redis;
    WorkerConfig worker;
    TelemetryConfig telemetry;
    HistoryConfig history;
    std::optional<transport::RedisUrl> rate_limit_redis;  ///< Where apps share their rate limits; none: each its own.
};

}  // namespace boardbus::cli

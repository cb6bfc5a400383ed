// The options of RabbitMQ and Redis.
// SPDX-License-Identifier: Apache-2.0
#include "board/lanes.h"
#include "cli/options_table_checks.h"
#include "cli/options_table_rules.h"
#include "cli/options_table_sections.h"

namespace boardbus::cli {
namespace {

constexpr std::int64_t kRetriesMost = 20;  // Each has a queue of its own.
const std::string kAmqpName = "1 to 200 bytes of UTF-8 without control characters";
const std::string kRedisName = "1 to 512 bytes of UTF-8 without control characters";
const std::string kFile = "a file that can be read";

Rule amqp_name(board::RouteNames board::TopologyOptions::* route, std::string board::RouteNames::* field) {
    return text(at(&Config::rabbitmq, &RabbitMqConfig::topology, route, field), kAmqpName, is_amqp_name);
}

Rule file(auto server, std::string transport::TlsOptions::* field) {
    return text([server, field](Config& config) -> std::string& { return (config.*server).tls.*field; }, kFile,
                is_readable_file);
}

}  // namespace

std::vector<Option> rabbitmq_options() {
    using board::RouteNames;
    using board::TopologyOptions;
    using Rabbit = RabbitMqConfig;
    return {
        {"RabbitMQ",
         "RABBITMQ_URL",
         list(at(&Config::rabbitmq, &Rabbit::urls), "amqp:// or amqps:// URLs", add_amqp_url),
         "amqp://guest:guest@localhost:5672/",
         "The broker, or the nodes of its cluster.",
         kRabbit,
         {},
         {},
         Secret::url},
        {"RabbitMQ", "RABBITMQ_EXCHANGE", amqp_name(&TopologyOptions::main, &RouteNames::exchange),
         "advanced.board.events", "Exchange of new events.", kRabbit},
        {"RabbitMQ", "RABBITMQ_QUEUE", amqp_name(&TopologyOptions::main, &RouteNames::queue), "advanced.board.events",
         "Queue of new events.", kRabbit},
        {"RabbitMQ", "RABBITMQ_ROUTING_KEY", amqp_name(&TopologyOptions::main, &RouteNames::routing_key),
         "boards.activity", "Routing key of new events.", kRabbit},
        {"RabbitMQ", "RABBITMQ_RETRY_EXCHANGE", amqp_name(&TopologyOptions::retry, &RouteNames::exchange),
         "advanced.board.events.retry", "Exchange of failed events that wait.", kBoth},
        {"RabbitMQ", "RABBITMQ_RETRY_QUEUE", amqp_name(&TopologyOptions::retry, &RouteNames::queue),
         "advanced.board.events.retry", "First retry queue; further levels add .2, .3 and so on.", kBoth},
        {"RabbitMQ", "RABBITMQ_RETRY_ROUTING_KEY", amqp_name(&TopologyOptions::retry, &RouteNames::routing_key),
         "boards.activity.retry", "Routing key of the first retry queue; further levels add .2, .3 and so on.", kBoth},
    };
}

std::vector<Option> delivery_options() {
    using board::RouteNames;
    using board::TopologyOptions;
    using Rabbit = RabbitMqConfig;
    const auto delay_first = at(&Config::rabbitmq, &Rabbit::retry, &board::RetryPolicy::delay_first);
    const auto delay_max = at(&Config::rabbitmq, &Rabbit::retry, &board::RetryPolicy::delay_max);
    return {
        {"RabbitMQ",
         "RABBITMQ_RETRY_DELAY_MS",
         integer(delay_first, 1, kDay * 1000),
         "5000",
         "Wait before the first retry; it doubles each time.",
         kBoth,
         {},
         "milliseconds"},
        {"RabbitMQ",
         "RABBITMQ_RETRY_MAX_DELAY_MS",
         integer(delay_max, 1, kDay * 1000),
         "300000",
         "Longest wait before a retry.",
         kBoth,
         {},
         "milliseconds"},
        {"RabbitMQ", "RABBITMQ_MAX_RETRIES",
         both(integer(at(&Config::rabbitmq, &Rabbit::retry, &board::RetryPolicy::retries_max), 0, kRetriesMost),
              integer(at(&Config::rabbitmq, &Rabbit::topology, &TopologyOptions::retries_max), 0, kRetriesMost)),
         "5", "Retries before an event goes to the dead letter queue.", kBoth},
        {"RabbitMQ", "RABBITMQ_DLQ_EXCHANGE", amqp_name(&TopologyOptions::dlq, &RouteNames::exchange),
         "advanced.board.events.dlq", "Exchange of dead letters.", kRabbit},
        {"RabbitMQ", "RABBITMQ_DLQ_QUEUE", amqp_name(&TopologyOptions::dlq, &RouteNames::queue),
         "advanced.board.events.dlq", "Queue of dead letters.", kRabbit},
        {"RabbitMQ", "RABBITMQ_DLQ_ROUTING_KEY", amqp_name(&TopologyOptions::dlq, &RouteNames::routing_key),
         "boards.activity.dlq", "Routing key of dead letters.", kRabbit},
        {"RabbitMQ", "RABBITMQ_QUEUE_TYPE",
         choice<>(at(&Config::rabbitmq, &Rabbit::topology, &TopologyOptions::queue_type),
                  std::vector<std::pair<std::string_view, board::QueueType>>{{"quorum", board::QueueType::quorum},
                                                                             {"classic", board::QueueType::classic}}),
         "quorum", "Type of the queues that we declare.", kBoth},
        {"RabbitMQ", "RABBITMQ_SINGLE_ACTIVE_CONSUMER",
         boolean(at(&Config::rabbitmq, &Rabbit::topology, &TopologyOptions::single_active_consumer)), "true",
         "One worker consumes and others stand by, which keeps the order; false: workers compete.", kBoth},
        {"RabbitMQ", "RABBITMQ_PREFETCH_COUNT", integer(at(&Config::rabbitmq, &Rabbit::prefetch), 1, 65535), "256",
         "Deliveries that the worker has in hand at most.", kWorker},
        {"RabbitMQ", "LANES", integer(at(&Config::rabbitmq, &Rabbit::lanes), 1, board::kLanesMax), "1",
         "Main queues that share the boards; every app and worker must have the same number.", kBoth},
        {"RabbitMQ", "WORKER_PAUSE_ON_OUTAGE", boolean(at(&Config::worker, &WorkerConfig::pause_on_outage)), "true",
         "Keep deliveries while Redis is away instead of charging them a retry.", kBoth},
    };
}

std::vector<Option> publish_options() {
    return {
        {"RabbitMQ",
         "PUBLISH_TIMEOUT_MS",
         integer(at(&Config::publish, &PublishConfig::timeout), 10, 600'000),
         "5000",
         "How long a message waits for RabbitMQ's confirm.",
         kApp,
         {},
         "milliseconds"},
        {"RabbitMQ", "PUBLISH_WINDOW", integer(at(&Config::publish, &PublishConfig::window), 1, 65535), "256",
         "Messages that may wait for a confirm at once.", kApp},
        {"RabbitMQ",
         "PUBLISH_QUEUE_BYTES",
         integer(at(&Config::publish, &PublishConfig::queue_bytes), 1, 16 * kGiB),
         "16777216",
         "Messages that may wait for a place in the window; beyond it they are refused.",
         kApp,
         {},
         "bytes"},
        {"RabbitMQ", "RABBITMQ_CA_FILE", file(&Config::rabbitmq, &transport::TlsOptions::ca_file), "",
         "Certificates that may sign RabbitMQ's (PEM).", kRabbit, "the system's store"},
        {"RabbitMQ", "RABBITMQ_CERT_FILE", file(&Config::rabbitmq, &transport::TlsOptions::cert_file), "",
         "Client certificate for RabbitMQ (PEM).", kRabbit, "none"},
        {"RabbitMQ", "RABBITMQ_KEY_FILE", file(&Config::rabbitmq, &transport::TlsOptions::key_file), "",
         "Key of the client certificate (PEM).", kRabbit, "none"},
    };
}

std::vector<Option> redis_options() {
    return {
        {"Redis",
         "REDIS_URL",
         redis_url(),
         "redis://localhost:6379/2",
         "The Redis server and its database, or who knows it: redis+sentinel://host,host,host/master/db, "
         "redis+cluster://host,host,host.",
         kBoth,
         {},
         {},
         Secret::url},
        {"Redis", "REDIS_IDEMPOTENCY_PREFIX",
         text(at(&Config::redis, &RedisConfig::idempotency_prefix), kRedisName, is_redis_name), "advanced:idempotency",
         "Beginning of the keys that remember published events.", kWorker},
        {"Redis", "REDIS_IDEMPOTENCY_TTL_SECONDS", integer(at(&Config::redis, &RedisConfig::idempotency_ttl), 1, kYear),
         "", "How long a published event is remembered.", kBoth, "300 or the retry horizon, whichever is longer",
         "seconds"},
        {"Redis", "REDIS_WAIT_REPLICAS", integer(at(&Config::redis, &RedisConfig::wait_replicas), 0, 16), "0",
         "Replicas that must have an event before RabbitMQ may forget it; 0: a failover can lose the newest events.",
         kWorker},
        {"Redis",
         "REDIS_WAIT_TIMEOUT_MS",
         integer(at(&Config::redis, &RedisConfig::wait_timeout), 1, 4000),
         "1000",
         "How long a commit waits for these replicas; then it counts as an outage.",
         kWorker,
         {},
         "milliseconds"},
        {"Redis", "ACTIVITY_CHANNEL",
         both(text(at(&Config::redis, &RedisConfig::activity_channel), kRedisName, is_redis_name),
              text(at(&Config::web, &web::Options::activity_channel), kRedisName, is_redis_name)),
         "advanced:activity", "Channel of the events.", kBoth},
        {"Redis", "BOARD_CHANNEL", text(at(&Config::web, &web::Options::board_channel), kRedisName, is_redis_name),
         "advanced:board", "A label that the page shows; nothing is published on it.", kApp},
        {"Redis", "REDIS_CA_FILE", file(&Config::redis, &transport::TlsOptions::ca_file), "",
         "Certificates that may sign Redis' (PEM).", kBoth, "the system's store"},
        {"Redis", "REDIS_CERT_FILE", file(&Config::redis, &transport::TlsOptions::cert_file), "",
         "Client certificate for Redis (PEM).", kBoth, "none"},
        {"Redis", "REDIS_KEY_FILE", file(&Config::redis, &transport::TlsOptions::key_file), "",
         "Key of the client certificate (PEM).", kBoth, "none"},
    };
}

std::vector<Option> history_options() {
    return {
        {"Redis",
         "HISTORY_SIZE",
         integer(at(&Config::history, &HistoryConfig::size), 1, 100'000'000),
         "100000",
         "Events kept for resume, all boards together.",
         kBoth,
         {},
         "events"},
        {"Redis",
         "HISTORY_BOARD_SIZE",
         integer(at(&Config::history, &HistoryConfig::board_size), 1, 10'000'000),
         "1000",
         "Events kept for resume of one board.",
         kBoth,
         {},
         "events"},
        {"Redis",
         "HISTORY_TTL_SECONDS",
         integer(at(&Config::history, &HistoryConfig::ttl), 1, kYear),
         "86400",
         "How long events are kept for resume; older ones go when new ones come.",
         kBoth,
         {},
         "seconds"},
    };
}

}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/options_table.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "cli/options_table_checks.h"
#include "cli/options_table_rules.h"
#include "transport/url.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kApp = static_cast<unsigned>(Command::app);
constexpr unsigned kWorker = static_cast<unsigned>(Command::worker);
constexpr unsigned kBoth = kApp | kWorker;
constexpr unsigned kHealth = static_cast<unsigned>(Command::health);
constexpr unsigned kDemo = static_cast<unsigned>(Command::demo);
constexpr unsigned kRabbit = kBoth | static_cast<unsigned>(Command::dlq);

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kYear = 365 * kDay;
constexpr std::int64_t kRetriesMost = 20;  // Each has a queue of its own.
constexpr std::int64_t kGiB = std::int64_t{1} << 30;

const std::string kHost = "an address or a host name";
const std::string kAmqpName = "1 to 200 bytes of UTF-8 without control characters";
const std::string kRedisName = "1 to 512 bytes of UTF-8 without control characters";
const std::string kHeader = "the value of an HTTP header: at most 4096 printable ASCII characters";
const std::string kFile = "a file that can be read";
const std::string kLine = "one line of UTF-8 text";

Rule header(std::string web::SecurityHeaders::* field) {
    return text(at(&Config::web, &web::Options::security, field), kHeader, is_header_value);
}

Rule header_names(std::vector<std::string> web::CorsOptions::* field) {
    return list(at(&Config::web, &web::Options::cors, field), "HTTP header names or methods", add_header_name);
}

Rule amqp_name(board::RouteNames board::TopologyOptions::* route, std::string board::RouteNames::* field) {
    return text(at(&Config::rabbitmq, &RabbitMqConfig::topology, route, field), kAmqpName, is_amqp_name);
}

Rule file(auto server, std::string transport::TlsOptions::* field) {
    return text([server, field](Config& config) -> std::string& { return (config.*server).tls.*field; }, kFile,
                is_readable_file);
}

std::vector<Option> server_options() {
    using web::Options;
    return {
        {"Server", "APP_HOST", text(at(&Config::web, &Options::host), kHost, is_host), "0.0.0.0",
         "Address that the app listens on.", kApp | kHealth},
        {"Server", "APP_PORT", integer(at(&Config::web, &Options::port), 0, 65535), "8004",
         "Port that the app listens on; 0 takes any free one.", kApp | kHealth | kDemo},
        {"Server", "WORKER_HOST", text(at(&Config::worker, &WorkerConfig::host), kHost, is_host), "0.0.0.0",
         "Address of the worker's own /healthz, /readyz and /metrics.", kWorker | kHealth},
        {"Server", "WORKER_PORT", integer(at(&Config::worker, &WorkerConfig::port), 0, 65535), "8005",
         "Port of the worker's own /healthz, /readyz and /metrics.", kWorker | kHealth},
        {"Server", "EVENT_TRANSPORT",
         choice<>(at(&Config::event_transport),
                  std::vector<std::pair<std::string_view, EventTransport>>{{"rabbitmq", EventTransport::rabbitmq},
                                                                           {"memory", EventTransport::memory}}),
         "rabbitmq", "Where events go: RabbitMQ and Redis, or the memory of one process.", kBoth},
        {"Server", "PROJECT_NAME", text(at(&Config::web, &Options::project_name), kLine, is_plain_text),
         "Advanced Realtime Board", "Title of the board page.", kApp},
        {"Server",
         "REALTIME_TOKEN",
         text(at(&Config::web, &Options::token), "1 to 4096 printable ASCII characters without spaces", is_token),
         web::kDefaultToken,
         "Token that clients must show.",
         kApp | kDemo,
         {},
         {},
         Secret::whole},
        {"Server", "THREADS", integer(at(&Config::threads), 1, 256), "", "Event loops of the app.", kApp,
         "one per core"},
        {"Server",
         "SHUTDOWN_GRACE_SECONDS",
         integer(at(&Config::web, &Options::shutdown_grace), 0, 3600),
         "10",
         "How long a stop waits for work in hand.",
         kBoth,
         {},
         "seconds"},
        {"Server",
         "RECONNECT_INITIAL_DELAY_SECONDS",
         decimal_seconds(at(&Config::web, &Options::reconnect_initial_delay), 10ms, 3600s),
         "1.5",
         "First wait before reconnecting: the page to the app, the program to its brokers.",
         kBoth,
         {},
         "seconds"},
        {"Server",
         "RECONNECT_MAX_DELAY_SECONDS",
         decimal_seconds(at(&Config::web, &Options::reconnect_max_delay), 10ms, 3600s),
         "10.0",
         "Longest wait before reconnecting.",
         kBoth,
         {},
         "seconds"},
    };
}

std::vector<Option> rabbitmq_options() {
    using board::RouteNames;
    using board::TopologyOptions;
    using Rabbit = RabbitMqConfig;
    const auto delay_first = at(&Config::rabbitmq, &Rabbit::retry, &board::RetryPolicy::delay_first);
    const auto delay_max = at(&Config::rabbitmq, &Rabbit::retry, &board::RetryPolicy::delay_max);
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
        {"RabbitMQ", "LANES", only("1"), "1", "Main queues that share the load.", kBoth},
        {"RabbitMQ", "WORKER_PAUSE_ON_OUTAGE", boolean(at(&Config::worker, &WorkerConfig::pause_on_outage)), "true",
         "Keep deliveries while Redis is away instead of charging them a retry.", kBoth},
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
         "The Redis server and its database.",
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
        {"Redis",
         "HISTORY_SIZE",
         integer(at(&Config::history, &HistoryConfig::size), 0, 100'000'000),
         "100000",
         "Events kept for resume, all boards together.",
         kBoth,
         {},
         "events",
         Secret::no,
         Built::not_yet},
        {"Redis",
         "HISTORY_BOARD_SIZE",
         integer(at(&Config::history, &HistoryConfig::board_size), 0, 10'000'000),
         "1000",
         "Events kept for resume of one board.",
         kBoth,
         {},
         "events",
         Secret::no,
         Built::not_yet},
        {"Redis",
         "HISTORY_TTL_SECONDS",
         integer(at(&Config::history, &HistoryConfig::ttl), 1, kYear),
         "86400",
         "How long events are kept for resume.",
         kBoth,
         {},
         "seconds",
         Secret::no,
         Built::not_yet},
    };
}

std::vector<Option> reader_options() {
    using web::Options;
    return {
        {"Readers", "WEBSOCKET_MAX_CONNECTIONS", integer(at(&Config::web, &Options::max_connections), 1, 10'000'000),
         "100000", "WebSockets at once; the limit of open files may be lower and counts then.", kApp},
        // RabbitMQ 4 takes 16 MiB a message; the envelope around it needs its part.
        {"Readers",
         "WEBSOCKET_MAX_MESSAGE_BYTES",
         integer(at(&Config::web, &Options::max_message_bytes), 1, 15 << 20),
         "1048576",
         "Longest message from a client.",
         kApp,
         {},
         "bytes"},
        {"Readers", "WEBSOCKET_MESSAGE_RATE_LIMIT", rate(at(&Config::web, &Options::message_rate_limit)), "",
         "Messages that one socket may send.", kApp, "off"},
        {"Readers",
         "WEBSOCKET_PING_SECONDS",
         integer(at(&Config::web, &Options::ping_interval), 1, kDay),
         "25",
         "Silence after which the server pings a socket.",
         kApp,
         {},
         "seconds"},
        {"Readers",
         "WEBSOCKET_PONG_TIMEOUT_SECONDS",
         integer(at(&Config::web, &Options::pong_timeout), 1, 3600),
         "10",
         "How long it waits for the answer.",
         kApp,
         {},
         "seconds"},
        {"Readers",
         "SSE_HEARTBEAT_SECONDS",
         integer(at(&Config::web, &Options::sse_heartbeat), 1, kDay),
         "15",
         "Silence after which an SSE stream gets a heartbeat.",
         kApp,
         {},
         "seconds"},
        {"Readers",
         "SLOW_CONSUMER_BYTES",
         integer(at(&Config::web, &Options::slow_consumer_bytes), 1024, kGiB),
         "4194304",
         "Backlog of one reader; beyond it the reader is closed.",
         kApp,
         {},
         "bytes"},
        {"Readers",
         "SLOW_CONSUMER_TOTAL_BYTES",
         integer(at(&Config::web, &Options::slow_consumer_total_bytes), 1024, 1024 * kGiB),
         "536870912",
         "Backlog of all readers together.",
         kApp,
         {},
         "bytes"},
        {"Readers",
         "HTTP_HEADER_TIMEOUT_SECONDS",
         integer(at(&Config::web, &Options::header_timeout), 1, 3600),
         "10",
         "How long a request's head may take.",
         kApp,
         {},
         "seconds"},
        {"Readers",
         "HTTP_IDLE_TIMEOUT_SECONDS",
         integer(at(&Config::web, &Options::idle_timeout), 1, kDay),
         "60",
         "How long an idle HTTP connection stays open.",
         kApp,
         {},
         "seconds"},
        {"Readers", "RATE_LIMIT_DEFAULT", rate(at(&Config::web, &Options::default_rate_limit)), "120/minute",
         "HTTP requests of one client address.", kApp, "off"},
        {"Readers", "ACTIVITY_STREAM_RATE_LIMIT", rate(at(&Config::web, &Options::stream_rate_limit)), "30/minute",
         "SSE streams that one client address may open.", kApp, "off"},
        {"Readers", "RATE_LIMIT_HEADERS_ENABLED", boolean(at(&Config::web, &Options::rate_limit_headers)), "true",
         "Send X-RateLimit-* headers.", kApp},
        {"Readers", "RATE_LIMIT_STORAGE_URI", only("memory://"), "memory://", "Where requests are counted.", kApp},
        {"Readers", "TRUSTED_PROXIES",
         list(at(&Config::web, &Options::trusted_proxies), "addresses and CIDR blocks", add_proxy), "",
         "Proxies whose X-Forwarded-For is believed.", kApp, "none"},
    };
}

std::vector<Option> browser_options() {
    using Cors = web::CorsOptions;
    using Security = web::SecurityHeaders;
    const auto cors = [](auto field) { return at(&Config::web, &web::Options::cors, field); };
    const auto security = [](auto field) { return at(&Config::web, &web::Options::security, field); };
    return {
        {"Browsers", "ALLOWED_ORIGINS",
         list(cors(&Cors::allowed_origins), "origins like https://board.example", add_origin),
         "http://localhost:3000,http://127.0.0.1:3000,http://localhost:5173", "Other sites whose pages may call us.",
         kApp, "none"},
        {"Browsers", "CORS_ALLOW_METHODS", header_names(&Cors::allow_methods), "GET,HEAD,OPTIONS",
         "Access-Control-Allow-Methods.", kApp, "none"},
        {"Browsers", "CORS_ALLOW_HEADERS", header_names(&Cors::allow_headers),
         "Accept,Accept-Language,Authorization,Content-Type,Cache-Control,Pragma,X-Requested-With",
         "Access-Control-Allow-Headers.", kApp, "none"},
        {"Browsers", "CORS_EXPOSE_HEADERS", header_names(&Cors::expose_headers),
         "Retry-After,X-Request-ID,X-RateLimit-Limit,X-RateLimit-Remaining", "Access-Control-Expose-Headers.", kApp,
         "none"},
        {"Browsers", "CORS_ALLOW_CREDENTIALS", boolean(cors(&Cors::allow_credentials)), "false",
         "Access-Control-Allow-Credentials.", kApp},
        {"Browsers",
         "CORS_MAX_AGE",
         integer(cors(&Cors::max_age), 0, kDay),
         "600",
         "Access-Control-Max-Age.",
         kApp,
         {},
         "seconds"},
        {"Browsers", "SECURITY_HEADERS_ENABLED", boolean(security(&Security::enabled)), "true",
         "Send the headers below.", kApp},
        {"Browsers", "CONTENT_SECURITY_POLICY", header(&Security::content_security_policy),
         "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
         "Content-Security-Policy.", kApp, "not sent"},
        {"Browsers", "STRICT_TRANSPORT_SECURITY", header(&Security::strict_transport_security),
         "max-age=63072000; includeSubDomains; preload", "Strict-Transport-Security.", kApp, "not sent"},
        {"Browsers", "REFERRER_POLICY", header(&Security::referrer_policy), "no-referrer", "Referrer-Policy.", kApp,
         "not sent"},
        {"Browsers", "PERMISSIONS_POLICY", header(&Security::permissions_policy),
         "camera=(), microphone=(), geolocation=()", "Permissions-Policy.", kApp, "not sent"},
        {"Browsers", "CROSS_ORIGIN_OPENER_POLICY", header(&Security::cross_origin_opener_policy), "same-origin",
         "Cross-Origin-Opener-Policy.", kApp, "not sent"},
        {"Browsers", "CROSS_ORIGIN_RESOURCE_POLICY", header(&Security::cross_origin_resource_policy), "same-origin",
         "Cross-Origin-Resource-Policy.", kApp, "not sent"},
        {"Browsers", "CROSS_ORIGIN_EMBEDDER_POLICY", header(&Security::cross_origin_embedder_policy), "",
         "Cross-Origin-Embedder-Policy.", kApp, "not sent"},
        {"Browsers", "X_CONTENT_TYPE_OPTIONS", header(&Security::x_content_type_options), "nosniff",
         "X-Content-Type-Options.", kApp, "not sent"},
        {"Browsers", "X_FRAME_OPTIONS", header(&Security::x_frame_options), "DENY", "X-Frame-Options.", kApp,
         "not sent"},
        {"Browsers", "REMOVE_SERVER_HEADER", boolean(security(&Security::remove_server_header)), "true",
         "Send no Server header.", kApp},
    };
}

std::vector<Option> telemetry_options() {
    using telemetry::Level;
    using telemetry::LogFormat;
    return {
        {"Telemetry", "LOG_LEVEL",
         choice<>(at(&Config::telemetry, &TelemetryConfig::log_level),
                  std::vector<std::pair<std::string_view, Level>>{
                      {"debug", Level::debug}, {"info", Level::info}, {"warn", Level::warn}, {"error", Level::error}}),
         "info", "Least important lines that are logged.", kBoth},
        {"Telemetry", "LOG_FORMAT",
         choice<>(
             at(&Config::telemetry, &TelemetryConfig::log_format),
             std::vector<std::pair<std::string_view, LogFormat>>{{"text", LogFormat::text}, {"json", LogFormat::json}}),
         "", "Form of the log's lines.", kBoth, "text on a terminal, else json"},
        {"Telemetry", "TELEMETRY_ENABLED", boolean(at(&Config::web, &web::Options::telemetry_enabled)), "true",
         "Serve the metrics.", kBoth},
        {"Telemetry",
         "TELEMETRY_SERVICE_NAME",
         text(at(&Config::telemetry, &TelemetryConfig::service_name), kLine, is_plain_text),
         "advanced-realtime",
         "Name of this service in traces.",
         kBoth,
         {},
         {},
         Secret::no,
         Built::not_yet},
        {"Telemetry", "METRICS_PATH", metrics_path(), "/metrics", "Path of the metrics.", kBoth},
        {"Telemetry", "OTEL_EXPORTER_OTLP_ENDPOINT", only(""), "", "Collector that traces are sent to.", kBoth, "off"},
        {"Telemetry",
         "OTEL_EXPORTER_OTLP_HEADERS",
         otlp_headers(),
         "",
         "Headers for the collector, as key=value,key=value.",
         kBoth,
         "none",
         {},
         Secret::whole,
         Built::not_yet},
    };
}

/// What does not parse may have its password anywhere, so nothing of it is shown once it holds an '@'.
std::string shown_urls(std::string_view text) {
    const auto items = parse_list(text);
    const bool good =
        items && std::ranges::all_of(*items, [](const std::string& item) {
            return transport::parse_amqp_urls(item).has_value() || transport::parse_redis_url(item).has_value();
        });
    return good || !text.contains('@') ? transport::mask_url(text) : "***";
}

std::vector<Option> all_options() {
    std::vector<Option> all;
    for (auto* section :
         {server_options, rabbitmq_options, redis_options, reader_options, browser_options, telemetry_options}) {
        std::ranges::move(section(), std::back_inserter(all));
    }
    return all;
}

}  // namespace

const std::vector<Option>& options_table() {
    static const std::vector<Option> table = all_options();
    return table;
}

std::string variable_of(const Option& option) {
    return std::string(kVariablePrefix) + std::string(option.name);
}

std::string flag_of(const Option& option) {
    std::string flag = "--" + std::string(option.name);
    std::ranges::transform(flag, flag.begin(), [](char c) {
        return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return flag;
}

std::string shown(const Option& option, std::string_view text) {
    switch (option.secret) {
        case Secret::no:
            return std::string(text);
        case Secret::whole:
            return text.empty() ? "" : "***";
        case Secret::url:
            return shown_urls(text);
    }
    return "***";
}

}  // namespace boardbus::cli

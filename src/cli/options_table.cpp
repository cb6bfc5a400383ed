// SPDX-License-Identifier: Apache-2.0
#include "cli/options_table.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "cli/options_table_checks.h"
#include "cli/options_table_rules.h"
#include "cli/options_table_sections.h"
#include "transport/url.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;

const std::string kHost = "an address or a host name";
const std::string kLine = "one line of UTF-8 text";

std::vector<Option> server_options() {
    using web::Options;
    return {
        {"Server", "APP_HOST", text(at(&Config::web, &Options::host), kHost, transport::is_host), "0.0.0.0",
         "Address that the app listens on.", kApp | kHealth},
        {"Server", "APP_PORT", integer(at(&Config::web, &Options::port), 0, 65535), "8004",
         "Port that the app listens on; 0 takes any free one.", kApp | kHealth | kDemo},
        {"Server", "WORKER_HOST", text(at(&Config::worker, &WorkerConfig::host), kHost, transport::is_host), "0.0.0.0",
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
         "Serve the metrics and export traces.", kBoth},
        {"Telemetry", "TELEMETRY_SERVICE_NAME",
         text(at(&Config::telemetry, &TelemetryConfig::service_name), kLine, is_plain_text), "advanced-realtime",
         "Name of this service in traces.", kBoth},
        {"Telemetry", "METRICS_PATH", metrics_path(), "/metrics", "Path of the metrics.", kBoth},
        {"Telemetry",
         "OTEL_EXPORTER_OTLP_ENDPOINT",
         otlp_endpoint(),
         "",
         "Collector that traces are sent to, by OTLP over HTTP: a base URL, /v1/traces is added.",
         kBoth,
         "off",
         {},
         Secret::url},
        {"Telemetry",
         "OTEL_EXPORTER_OTLP_HEADERS",
         otlp_headers(),
         "",
         "Headers for the collector, as key=value,key=value.",
         kBoth,
         "none",
         {},
         Secret::whole},
    };
}

/// What does not parse may have its password anywhere, so nothing of it is shown once it holds an '@'.
std::string shown_urls(std::string_view text) {
    if (transport::parse_redis_url(text)) {
        return transport::mask_url(text);  // It may name several sentinels, with commas between them.
    }
    const auto items = parse_list(text);
    const bool good = items && std::ranges::all_of(*items, [](const std::string& item) {
                          return transport::parse_amqp_urls(item).has_value() ||
                                 transport::parse_redis_url(item).has_value() ||
                                 transport::parse_http_url(item).has_value();
                      });
    return good || !text.contains('@') ? transport::mask_url(text) : "***";
}

std::vector<Option> all_options() {
    std::vector<Option> all;
    for (auto* section :
         {server_options, rabbitmq_options, delivery_options, publish_options, redis_options, history_options,
          reader_options, backlog_options, limit_options, browser_options, telemetry_options}) {
        std::ranges::move(section(), std::back_inserter(all));
    }
    return all;
}

}  // namespace

const std::vector<Option>& options_table() {
    static const std::vector<Option> kTable = all_options();
    return kTable;
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

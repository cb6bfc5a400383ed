// The options of the web edge.
// SPDX-License-Identifier: Apache-2.0
#include "cli/options_table_checks.h"
#include "cli/options_table_rules.h"
#include "cli/options_table_sections.h"

namespace boardbus::cli {
namespace {

const std::string kHeader = "the value of an HTTP header: at most 4096 printable ASCII characters";

Rule header(std::string web::SecurityHeaders::* field) {
    return text(at(&Config::web, &web::Options::security, field), kHeader, is_header_value);
}

Rule header_names(std::vector<std::string> web::CorsOptions::* field) {
    return list(at(&Config::web, &web::Options::cors, field), "HTTP header names or methods", add_header_name);
}

}  // namespace

std::vector<Option> reader_options() {
    using web::Options;
    return {
        {"Readers", "WEBSOCKET_MAX_CONNECTIONS", integer(at(&Config::web, &Options::max_connections), 1, 10'000'000),
         "100000", "WebSockets at once; the limit of open files may be lower and counts then.", kApp},
        // An envelope can be four times as long (board/envelope.h), and RabbitMQ 4 takes 16 MiB a message.
        {"Readers",
         "WEBSOCKET_MAX_MESSAGE_BYTES",
         integer(at(&Config::web, &Options::max_message_bytes), 1, 3 << 20),
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
    };
}

std::vector<Option> backlog_options() {
    using web::Options;
    return {
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
    };
}

std::vector<Option> limit_options() {
    using web::Options;
    return {
        {"Readers", "RATE_LIMIT_DEFAULT", rate(at(&Config::web, &Options::default_rate_limit)), "120/minute",
         "HTTP requests of one client address.", kApp, "off"},
        {"Readers", "ACTIVITY_STREAM_RATE_LIMIT", rate(at(&Config::web, &Options::stream_rate_limit)), "30/minute",
         "SSE streams that one client address may open.", kApp, "off"},
        {"Readers", "RATE_LIMIT_HEADERS_ENABLED", boolean(at(&Config::web, &Options::rate_limit_headers)), "true",
         "Send X-RateLimit-* headers.", kApp},
        {"Readers",
         "RATE_LIMIT_STORAGE_URI",
         rate_limit_storage(),
         "memory://",
         "Where requests are counted; a Redis URL lets several apps share the counts.",
         kApp,
         {},
         {},
         Secret::url},
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

}  // namespace boardbus::cli

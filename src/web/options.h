// What the web edge is told at start: its share of the configuration, parsed and checked by the command line, never
// changed afterwards.
//
// The defaults are those of the documented variables, so that a test names only what it is about.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "web/client_address.h"
#include "web/rate_limit.h"

namespace boardbus::web {

/// The token that everybody knows: while it is unchanged, start-up warns and the page shows it to loopback visitors.
inline constexpr std::string_view kDefaultToken = "change-me-realtime";

/// Who else's pages may call us. The WebSocket handshake uses allowed_origins too.
struct CorsOptions {
    /// Whole origins such as https://board.example, without a slash at the end; never a wildcard.
    std::vector<std::string> allowed_origins = {"http://localhost:3000", "http://127.0.0.1:3000",
                                                "http://localhost:5173"};
    std::vector<std::string> allow_methods = {"GET", "HEAD", "OPTIONS"};
    std::vector<std::string> allow_headers = {"Accept",        "Accept-Language", "Authorization",   "Content-Type",
                                              "Cache-Control", "Pragma",          "X-Requested-With"};
    std::vector<std::string> expose_headers = {"Retry-After", "X-Request-ID", "X-RateLimit-Limit",
                                               "X-RateLimit-Remaining"};
    bool allow_credentials = false;
    std::chrono::seconds max_age{600};
};

/// Headers of every response. An empty text leaves its header out.
struct SecurityHeaders {
    bool enabled = true;
    std::string content_security_policy =
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";
    std::string strict_transport_security = "max-age=63072000; includeSubDomains; preload";
    std::string referrer_policy = "no-referrer";
    std::string permissions_policy = "camera=(), microphone=(), geolocation=()";
    std::string cross_origin_opener_policy = "same-origin";
    std::string cross_origin_resource_policy = "same-origin";
    std::string cross_origin_embedder_policy;
    std::string x_content_type_options = "nosniff";
    std::string x_frame_options = "DENY";
    bool remove_server_header = true;
};

/// What is served.
enum class Surface {
    board,  ///< Everything.
    admin,  ///< Health and metrics alone: a worker's port.
};

struct Options {
    Surface surface = Surface::board;
    std::string host = "0.0.0.0";
    std::uint16_t port = 8004;

    std::string project_name = "Advanced Realtime Board";
    std::string token{kDefaultToken};

    std::size_t max_connections = 100'000;  ///< WebSockets; already the smaller of the setting and the file limit.
    std::size_t max_message_bytes = 1'048'576;
    std::optional<RateLimit> message_rate_limit;  ///< For each socket; none: unlimited.

    std::chrono::seconds sse_heartbeat{15};
    std::chrono::seconds ping_interval{25};
    std::chrono::seconds pong_timeout{10};
    std::chrono::seconds header_timeout{10};
    std::chrono::seconds idle_timeout{60};
    std::chrono::seconds shutdown_grace{10};

    std::size_t slow_consumer_bytes = 4'194'304;          ///< Backlog of one reader.
    std::size_t slow_consumer_total_bytes = 536'870'912;  ///< All backlogs together.

    std::optional<RateLimit> default_rate_limit = RateLimit{120, std::chrono::seconds(60)};
    std::optional<RateLimit> stream_rate_limit = RateLimit{30, std::chrono::seconds(60)};
    bool rate_limit_headers = true;
    std::vector<Cidr> trusted_proxies;

    CorsOptions cors;
    SecurityHeaders security;

    bool telemetry_enabled = true;
    std::string metrics_path = "/metrics";

    // What the page is told.
    std::chrono::milliseconds reconnect_initial_delay{1500};
    std::chrono::milliseconds reconnect_max_delay{10'000};
    std::string activity_channel = "advanced:activity";
    std::string board_channel = "advanced:board";
};

}  // namespace boardbus::web

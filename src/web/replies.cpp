// See replies.h.
// SPDX-License-Identifier: Apache-2.0
#include "web/replies.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <ctime>

#include "base/random.h"
#include "web/admission.h"
#include "web/http_request.h"

namespace boardbus::web {
namespace {

constexpr std::size_t kRequestIdMax = 128;  // Bytes: three UUIDs; it is copied into every response and log line.
constexpr std::string_view kHex = "0123456789abcdef";

std::string_view reason_of(int status) {
    switch (status) {
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Content";
        case 426:
            return "Upgrade Required";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 503:
            return "Service Unavailable";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "";  // RFC 9112 §4 allows an empty phrase.
    }
}

/// One line; control characters become spaces, so that a value never ends its line.
void append_header(std::string& out, std::string_view name, std::string_view value) {
    out.append(name).append(": ");
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        out.push_back(byte < 0x20 || byte == 0x7F ? ' ' : c);
    }
    out.append("\r\n");
}

/// The same, but nothing for an empty value.
void append_set_header(std::string& out, std::string_view name, std::string_view value) {
    if (!value.empty()) {
        append_header(out, name, value);
    }
}

std::string joined(const std::vector<std::string>& texts) {
    std::string out;
    for (const auto& text : texts) {
        out.append(out.empty() ? "" : ", ").append(text);
    }
    return out;
}

bool lists_method(const std::vector<std::string>& methods, std::string_view wanted) {
    return std::any_of(methods.begin(), methods.end(),
                       [&](const auto& method) { return method == "*" || method == wanted; });
}

bool lists_header(const std::vector<std::string>& headers, std::string_view wanted) {
    // Always allowed by the Fetch standard, whatever the configuration says.
    for (const std::string_view safe : {"Accept", "Accept-Language", "Content-Language", "Content-Type"}) {
        if (equals_ignoring_case(safe, wanted)) {
            return true;
        }
    }
    return std::any_of(headers.begin(), headers.end(),
                       [&](const auto& header) { return header == "*" || equals_ignoring_case(header, wanted); });
}

/// Every name in the comma-separated `wanted` is allowed.
bool lists_all_headers(const std::vector<std::string>& headers, std::string_view wanted) {
    return !any_list_element(wanted, [&](std::string_view name) { return !lists_header(headers, name); });
}

std::string security_block(const SecurityHeaders& security) {
    std::string out;
    if (!security.remove_server_header) {
        append_header(out, "Server", "boardbus");
    }
    if (!security.enabled) {
        return out;
    }
    append_set_header(out, "X-Content-Type-Options", security.x_content_type_options);
    append_set_header(out, "X-Frame-Options", security.x_frame_options);
    append_set_header(out, "Referrer-Policy", security.referrer_policy);
    append_set_header(out, "Permissions-Policy", security.permissions_policy);
    append_set_header(out, "Cross-Origin-Opener-Policy", security.cross_origin_opener_policy);
    append_set_header(out, "Cross-Origin-Resource-Policy", security.cross_origin_resource_policy);
    append_set_header(out, "Cross-Origin-Embedder-Policy", security.cross_origin_embedder_policy);
    append_set_header(out, "Content-Security-Policy", security.content_security_policy);
    append_set_header(out, "Strict-Transport-Security", security.strict_transport_security);
    return out;
}

bool has_content(int status) {
    return status >= 200 && status != 204 && status != 304;
}

std::int64_t whole_seconds_up(std::chrono::nanoseconds time) {
    return std::chrono::ceil<std::chrono::seconds>(time).count();
}

}  // namespace

std::string request_id_for(std::string_view from_client) {
    const bool sane = !from_client.empty() && from_client.size() <= kRequestIdMax &&
                      std::all_of(from_client.begin(), from_client.end(), [](char c) { return c > 0x20 && c < 0x7F; });
    return sane ? std::string(from_client) : random_uuid();
}

std::string detail_json(std::string_view detail) {
    std::string out = R"({"detail":")";
    for (const char c : detail) {
        if (c == '"' || c == '\\') {
            out.append(1, '\\').append(1, c);
        } else if (const auto byte = static_cast<unsigned char>(c); byte < 0x20) {
            out.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
        } else {
            out.push_back(c);
        }
    }
    return out.append("\"}");
}

Replies::Replies(const Options& options)
    : cors_(options.cors),
      rate_limit_headers_(options.rate_limit_headers),
      security_block_(security_block(options.security)) {
    if (cors_.allow_credentials) {
        append_header(cors_expose_block_, "Access-Control-Allow-Credentials", "true");
        cors_preflight_block_ = cors_expose_block_;
    }
    append_set_header(cors_expose_block_, "Access-Control-Expose-Headers", joined(cors_.expose_headers));
    append_set_header(cors_preflight_block_, "Access-Control-Allow-Methods", joined(cors_.allow_methods));
    append_set_header(cors_preflight_block_, "Access-Control-Allow-Headers", joined(cors_.allow_headers));
    append_header(cors_preflight_block_, "Access-Control-Max-Age", std::to_string(cors_.max_age.count()));
}

std::string Replies::make(const Reply& reply, const ReplyContext& context, WallTime now) {
    std::string out;
    out.reserve(1024 + reply.body.size());
    append_start(out, reply.status, context, now);
    append_cors(out, context.origin, cors_expose_block_);
    append_set_header(out, "Cache-Control", reply.cache_control);
    for (const auto& [name, value] : reply.headers) {
        append_header(out, name, value);
    }
    if (has_content(reply.status)) {
        append_set_header(out, "Content-Type", reply.content_type);
        append_header(out, "Content-Length", std::to_string(reply.body.size()));
    }
    out.append("\r\n");
    if (has_content(reply.status) && context.body == Body::send) {
        out.append(reply.body);
    }
    return out;
}

std::string Replies::error(int status, std::string_view detail, const ReplyContext& context, WallTime now) {
    const auto body = detail_json(detail);
    Reply reply{.status = status, .body = body};
    if (status == 401) {
        reply.headers.emplace_back("WWW-Authenticate", "Bearer");  // RFC 9110 §11.6.1 wants a challenge.
    }
    return make(reply, context, now);
}

std::string Replies::wrong_method(std::string_view allow, const ReplyContext& context, WallTime now) {
    const auto body = detail_json("Method Not Allowed");
    return make({.status = 405, .body = body, .headers = {{"Allow", std::string(allow)}}}, context, now);
}

std::string Replies::rate_limited(const ReplyContext& context, WallTime now) {
    assert(context.rate);
    const auto seconds = std::max<std::int64_t>(1, whole_seconds_up(context.rate->resets_in));
    const auto body = detail_json("Rate limit exceeded");
    return make({.status = 429, .body = body, .headers = {{"Retry-After", std::to_string(seconds)}}}, context, now);
}

std::string Replies::preflight(const Preflight& preflight, const ReplyContext& context, WallTime now) {
    std::string refused;
    if (!is_listed_origin(context.origin, cors_.allowed_origins)) {
        refused = "origin";
    }
    if (!lists_method(cors_.allow_methods, preflight.request_method)) {
        refused.append(refused.empty() ? "" : ", ").append("method");
    }
    if (!lists_all_headers(cors_.allow_headers, preflight.request_headers)) {
        refused.append(refused.empty() ? "" : ", ").append("headers");
    }
    const auto body = refused.empty() ? std::string("OK") : "Disallowed CORS " + refused;

    std::string out;
    append_start(out, refused.empty() ? 200 : 400, context, now);
    append_cors(out, refused.empty() ? context.origin : std::string_view(), cors_preflight_block_);
    append_header(out, "Content-Type", kTextType);
    append_header(out, "Content-Length", std::to_string(body.size()));
    return out.append("\r\n").append(body);
}

std::string Replies::sse_head(const ReplyContext& context, WallTime now) {
    std::string out;
    auto until_the_end = context;
    until_the_end.connection =
        Connection::close;  // Neither length nor chunks: the end of the connection is the end of the stream.
    append_start(out, 200, until_the_end, now);
    append_cors(out, context.origin, cors_expose_block_);
    append_header(out, "Content-Type", "text/event-stream; charset=utf-8");
    append_header(out, "Cache-Control", "no-store");
    append_header(out, "X-Accel-Buffering", "no");
    return out.append("\r\n");
}

std::string Replies::handshake_headers(const ReplyContext& context) const {
    std::string out = security_block_;
    append_set_header(out, "X-Request-ID", context.request_id);
    return out;
}

void Replies::append_start(std::string& out, int status, const ReplyContext& context, WallTime now) {
    out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason_of(status)).append("\r\n");
    out.append(date_line(now)).append(handshake_headers(context));
    append_header(out, "Connection", context.connection == Connection::close ? "close" : "keep-alive");
    if (context.rate && rate_limit_headers_) {
        append_rate(out, *context.rate, now);
    }
}

void Replies::append_cors(std::string& out, std::string_view origin, std::string_view block) const {
    if (cors_.allowed_origins.empty()) {
        return;
    }
    append_header(out, "Vary", "Origin");  // Always: a cache must not hand one origin's answer to another.
    if (is_listed_origin(origin, cors_.allowed_origins)) {
        append_header(out, "Access-Control-Allow-Origin", origin);
        out.append(block);
    }
}

void Replies::append_rate(std::string& out, const RateDecision& rate, WallTime now) const {
    append_header(out, "X-RateLimit-Limit", std::to_string(rate.limit));
    append_header(out, "X-RateLimit-Remaining", std::to_string(rate.remaining));
    append_header(out, "X-RateLimit-Reset", std::to_string(whole_seconds_up(now.time_since_epoch() + rate.resets_in)));
}

std::string_view Replies::date_line(WallTime now) {
    const auto second = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
    if (second != date_second_) {
        const auto time = static_cast<std::time_t>(second);
        std::tm parts{};
        gmtime_r(&time, &parts);
        char text[64];
        // The program never calls setlocale(), so the names are English.
        const auto size = std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
        date_line_.assign(text, size);
        date_second_ = second;
    }
    return date_line_;
}

}  // namespace boardbus::web

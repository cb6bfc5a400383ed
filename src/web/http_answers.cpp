// What each path answers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "base/trace_context.h"
#include "base/utf8.h"
#include "board/envelope.h"
#include "board/json_text.h"
#include "board/message.h"
#include "web/admission.h"
#include "web/edge.h"
#include "web/http_connection.h"
#include "web/http_target.h"
#include "web/resume_point.h"
#include "web/ws_handshake.h"

namespace boardbus::web {
namespace {

// Boards that one stream may name; each costs 40 B and a place in a group.
constexpr std::size_t kStreamBoardsMax = 64;

}  // namespace

ReplyContext HttpConnection::context() const {
    return {
        .connection = request_.keep_alive && !edge_.draining() ? Connection::keep_alive : Connection::close,
        .body = request_.method == "HEAD" ? Body::omit : Body::send,
        .origin = header("Origin"),
        .request_id = request_id_,
        .rate = rate_,
    };
}

void HttpConnection::reply(const Reply& reply) {
    answer(edge_.replies().make(reply, context(), wall_now()), reply.status);
}

void HttpConnection::fail_with(int status, std::string_view detail) {
    answer(edge_.replies().error(status, detail, context(), wall_now()), status);
}

std::optional<RateLimit> HttpConnection::limit() const {
    switch (match_.route) {
        case Route::healthz:
        case Route::readyz:
        case Route::metrics:
        case Route::asset:
        case Route::websocket:
            return {};
        case Route::sse_activity:
        case Route::sse_board:
            // Who comes back after a restart of ours is not to blame for the rush. Only with the token: else guesses at it
            // would not be counted.
            if (edge_.may_follow(stream_cursor()) && has_token()) {
                return {};
            }
            return edge_.options().stream_rate_limit;
        case Route::unknown:
        case Route::index:
        case Route::post_message:
        case Route::history:
            break;
    }
    return edge_.options().default_rate_limit;
}

/// What an EventSource sends by itself; or the query, for those who cannot set a header.
std::string HttpConnection::stream_cursor() const {
    const std::string_view last_id = header("Last-Event-ID");
    return last_id.empty() ? query_value(query_, "last_event_id") : std::string(last_id);
}

void HttpConnection::handle() {
    const std::string_view asked_method = header("Access-Control-Request-Method");
    if (request_.method == "OPTIONS" && !header("Origin").empty() && !asked_method.empty()) {
        const Preflight preflight{asked_method, header("Access-Control-Request-Headers")};
        std::string response = edge_.replies().preflight(preflight, context(), wall_now());
        const int status = response.starts_with("HTTP/1.1 200") ? 200 : 400;
        answer(std::move(response), status);
        return;
    }
    if (match_.route == Route::unknown) {
        fail_with(404, "Not Found");
        return;
    }
    if (!allows_method(match_.route, request_.method)) {
        answer(edge_.replies().wrong_method(allowed_methods(match_.route), context(), wall_now()), 405);
        return;
    }
    switch (match_.route) {
        case Route::unknown:
            break;
        case Route::index:
            show_index();
            break;
        case Route::healthz:
            reply({.body = R"({"status":"ok"})"});
            break;
        case Route::readyz:
            show_readiness();
            break;
        case Route::metrics:
            show_metrics();
            break;
        case Route::asset:
            show_asset();
            break;
        case Route::sse_activity:
        case Route::sse_board:
            open_stream();
            break;
        case Route::post_message:
            take_message();
            break;
        case Route::history:
            show_history();
            break;
        case Route::websocket:
            shake_hands();
            break;
    }
}

void HttpConnection::show_index() {
    const bool forwarded = request_.header("X-Forwarded-For") || request_.header("Forwarded");
    reply({.content_type = kIndexType,
           .body = edge_.services().pages.index(client_, forwarded ? Forwarded::yes : Forwarded::no)});
}

void HttpConnection::show_asset() {
    const auto asset = edge_.services().pages.find(split_target(request_.target).path);
    if (!asset) {
        fail_with(404, "Not Found");
        return;
    }
    Reply file{.content_type = asset->content_type,
               .body = asset->body,
               .cache_control = kAssetCacheControl,
               .headers = {{"ETag", std::string(asset->etag)}}};
    if (matches_etag(request_.joined_header("If-None-Match"), asset->etag)) {
        file.status = 304;
    }
    reply(file);
}

void HttpConnection::show_readiness() {
    switch (edge_.services().readiness.get()) {
        case Readiness::State::starting:
            reply({.status = 503, .body = R"({"status":"starting","event_pipeline_ready":false})"});
            break;
        case Readiness::State::ready:
            reply({.body = R"({"status":"ready","event_pipeline_ready":true})"});
            break;
        case Readiness::State::degraded:
            reply({.status = 503, .body = R"({"status":"degraded","event_pipeline_ready":false})"});
            break;
    }
}

void HttpConnection::show_metrics() {
    if (!edge_.options().telemetry_enabled) {
        reply({.status = 503, .content_type = kTextType, .body = "telemetry disabled"});
        return;
    }
    const std::string text = edge_.services().metrics.expose();
    reply({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = text});
}

bool HttpConnection::has_token() const {
    return edge_.token().matches(presented_token(query_, header("Authorization")));
}

void HttpConnection::open_stream() {
    if (!has_token()) {
        edge_.services().metrics.authentication_failed();
        fail_with(401, "Invalid or missing token");
        return;
    }
    boards_.clear();
    if (match_.route == Route::sse_board) {
        auto board = board_id_of(match_.board);
        if (!board) {
            fail_with(404, "Not Found");
            return;
        }
        boards_.push_back(std::move(*board));
    } else {
        boards_ = query_values(query_, "board", kStreamBoardsMax + 1);
        if (boards_.size() > kStreamBoardsMax) {
            // To serve some of them would leave out the others in silence.
            fail_with(400, "board: at most 64 of them");
            return;
        }
        std::erase(boards_, "");
        std::sort(boards_.begin(), boards_.end());
        boards_.erase(std::unique(boards_.begin(), boards_.end()), boards_.end());
        if (!std::all_of(boards_.begin(), boards_.end(),
                         [](const auto& board) { return board.size() <= board::kBoardIdBytesMax && is_utf8(board); })) {
            fail_with(400, "board: 1 to 256 bytes of UTF-8");
            return;
        }
    }
    if (request_.method == "HEAD") {
        // A stream has no length and no end; its headers are all there is to say.
        request_.keep_alive = false;
        answer(edge_.replies().sse_head(context(), wall_now()), 200);
        return;
    }
    point_ = resume_point(stream_cursor());
    set_state(State::streaming);
}

void HttpConnection::take_message() {
    auto board = board_id_of(match_.board);
    if (!board) {
        fail_with(404, "Not Found");
        return;
    }
    if (!has_token()) {
        edge_.services().metrics.authentication_failed();
        fail_with(401, "Invalid or missing token");
        return;
    }
    const auto message = board::parse_board_message(request_.body);
    if (!message) {
        const std::string body = R"({"detail":)" + board::detail_json(message.error()) + "}";
        reply({.status = message.error().errors.empty() ? 400 : 422, .body = body});
        return;
    }
    auto publication = board::seal(*message, std::move(*board), random_uuid(), random_uuid(), wall_now());
    if (const std::string_view trace = header("traceparent"); is_traceparent(trace)) {
        publication.traceparent = trace;
    }
    accepted_ = R"({"event_id":")" + publication.event_id + R"(","correlation_id":)";
    board::json::append_quoted(accepted_, publication.correlation_id);
    accepted_ += '}';
    set_state(State::publishing);
    edge_.publish(*this, std::move(publication));
}

void HttpConnection::shake_hands() {
    telemetry::Metrics& metrics = edge_.services().metrics;
    auto board = board_id_of(match_.board);
    if (!board) {
        metrics.handshake_refused(telemetry::Refusal::not_found);
        fail_with(404, "Not Found");
        return;
    }
    const auto key = check_upgrade(request_);
    if (!key) {
        Reply refusal{.status = key.error().status};
        const std::string body = detail_json(key.error().detail);
        refusal.body = body;
        if (refusal.status == 426) {
            refusal.headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
        }
        reply(refusal);
        return;
    }
    const bool by_proxy = is_trusted_proxy(peer_, edge_.options().trusted_proxies);
    const auto origin = request_.header("Origin");
    const std::string_view scheme = by_proxy ? header("X-Forwarded-Proto") : std::string_view();
    // An Origin that says nothing is no browser's, and not the absence of one either.
    if (origin &&
        (origin->empty() || !admits_origin(*origin, header("Host"), scheme, edge_.options().cors.allowed_origins))) {
        metrics.handshake_refused(telemetry::Refusal::origin);
        fail_with(403, "Origin not allowed");
        return;
    }
    if (!has_token()) {
        metrics.handshake_refused(telemetry::Refusal::token);
        metrics.authentication_failed();
        count_failed_authentication();
        upgrade(*key, {.close_code = close_code::kUnauthorized, .close_reason = "invalid or missing token"});
        return;
    }
    if (!edge_.services().occupancy.websockets.take()) {
        metrics.handshake_refused(telemetry::Refusal::limit);
        upgrade(*key, {.close_code = close_code::kTryAgainLater, .close_reason = "too many connections"});
        return;
    }
    boards_.clear();
    boards_.push_back(std::move(*board));
    Upgrade welcome;
    welcome.terms.v1 = offers_subprotocol(request_, v1::kProtocol);
    welcome.terms.point = resume_point(query_value(query_, "since"));
    upgrade(*key, std::move(welcome));
}

void HttpConnection::count_failed_authentication() {
    // It uses up what this client may ask for; the answer stays the close code, the only thing that a browser's script
    // can see.
    if (const auto& limit = edge_.options().default_rate_limit) {
        edge_.services().rate_limits.hit("default", client_.text(), *limit, edge_.loop(), [](RateDecision) {});
    }
}

void HttpConnection::upgrade(std::string_view key, Upgrade upgrade) {
    // Not for a socket that is only told why it cannot stay: what it still sends must cost nothing.
    const auto deflate =
        upgrade.close_code == 0 ? agree_on_deflate(request_.joined_header("Sec-WebSocket-Extensions")) : std::nullopt;
    if (deflate) {
        upgrade.terms.deflate = true;
        upgrade.terms.server_window_bits = deflate->server_window_bits;
    }
    upgrade.response = upgrade_response(key, upgrade.terms.v1 ? v1::kProtocol : std::string_view(),
                                        deflate ? std::string_view(deflate->response) : std::string_view(),
                                        edge_.replies().handshake_headers(context()));
    edge_.services().metrics.http_request(route_label(match_.route), request_.method, 101, edge_.loop().now() - began_);
    upgrade_ = std::move(upgrade);
    set_state(State::upgrading);
}

}  // namespace boardbus::web

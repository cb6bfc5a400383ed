// SPDX-License-Identifier: Apache-2.0
#include "web/http_connection.h"

#include <sys/socket.h>

#include <memory>
#include <utility>

#include "web/edge.h"
#include "web/http_target.h"
#include "web/sse_session.h"

namespace boardbus::web {
namespace {

// What one read may bring, and so what may have to be kept behind a request: 64 KiB a connection at worst.
constexpr std::size_t kReadBytes = 64 * 1024;

// 16 pages of metrics cost about 16 ms, the most that one client's pipelined requests may keep the loop in a turn.
constexpr int kRequestsPerTurn = 16;

// How long the client may take to hear the last answer and end its side.
constexpr std::uint32_t kLingerMs = 2000;

std::uint32_t ms(std::chrono::seconds time) {
    return static_cast<std::uint32_t>(std::chrono::milliseconds(time).count());
}

}  // namespace

HttpConnection::HttpConnection(Edge& edge, hub::Shard& shard, UniqueFd fd, const Address& peer)
    : Session(edge, shard, std::move(fd), hub::Form::none), peer_(peer), since_ms_(edge.clock_ms()) {}

void HttpConnection::on_ready(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        const std::size_t before = backlog();
        shard().on_writable(*this);
        if (backlog() < before) {
            since_ms_ = edge_.clock_ms();  // Slow, but it is being read.
        }
        if (backlog() == 0 && state_ == State::writing) {
            set_state(State::receiving);
            resume();
            return;
        }
        if (backlog() == 0 && state_ == State::writing_last) {
            ::shutdown(fd(), SHUT_WR);
            set_state(State::lingering);
            shard().set_reading(*this, true);
        }
    }
    if ((events & EPOLLIN) != 0) {
        const auto input = edge_.receive(*this, kReadBytes);
        if (input.ended) {
            edge_.destroy(*this);
        } else if (state_ == State::receiving) {
            go_on(input.bytes);
        }
        return;
    }
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        edge_.destroy(*this);
    }
}

// The only function that may turn this object into another one; its callers do nothing after it.
void HttpConnection::go_on(std::span<char> bytes) {
    in_go_on_ = true;
    int requests = 0;
    while (state_ == State::receiving && !bytes.empty() && requests < kRequestsPerTurn) {
        if (!input_.in_request()) {
            since_ms_ = edge_.clock_ms();
            began_ = edge_.loop().now();
        }
        const HttpEvent event = input_.next(bytes, edge_.options().max_message_bytes, request_);
        if (event.kind == HttpEvent::Kind::request) {
            ++requests;
            take_request();
        } else if (event.kind == HttpEvent::Kind::send_continue) {
            shard().send(*this, "HTTP/1.1 100 Continue\r\n\r\n");
        } else if (event.kind == HttpEvent::Kind::failure) {
            request_ = HttpRequest{.keep_alive = false};
            match_ = {};
            request_id_ = request_id_for({});
            fail_with(event.status, event.detail);
        }
    }
    in_go_on_ = false;
    unread_.assign(bytes.begin(), bytes.end());
    if (state_ == State::upgrading) {
        become_websocket();
    } else if (state_ == State::streaming) {
        become_stream();
    } else if (state_ == State::receiving && !unread_.empty()) {
        shard().set_reading(*this, false);
        edge_.loop().post([&edge = edge_, ticket = edge_.ticket_of(*this)] {
            if (Session* session = edge.find(ticket)) {
                static_cast<HttpConnection*>(session)->resume();
            }
        });
    } else {
        shard().set_reading(*this, state_ == State::receiving || state_ == State::lingering);
    }
}

void HttpConnection::resume() {
    if (!in_go_on_) {
        std::string unread = std::exchange(unread_, {});
        go_on(unread);
    }
}

void HttpConnection::take_request() {
    const HttpTarget target = split_target(request_.target);
    query_ = target.query;
    match_ = match_route(target.path, edge_.options().metrics_path);
    if (edge_.options().surface == Surface::admin && !is_admin(match_.route)) {
        match_ = {};
    } else if (match_.route == Route::unknown && edge_.services().pages.find(target.path)) {
        match_.route = Route::asset;
    }
    request_id_ = request_id_for(header("X-Request-ID"));
    client_ = client_address(peer_, request_.joined_header("X-Forwarded-For"), edge_.options().trusted_proxies);
    rate_.reset();
    const auto limited = limit();
    if (!limited) {
        handle();
        return;
    }
    set_state(State::deciding);
    const bool is_stream = match_.route == Route::sse_activity || match_.route == Route::sse_board;
    edge_.services().rate_limits.hit(is_stream ? "stream" : "default", client_.text(), *limited, edge_.loop(),
                                     [&edge = edge_, ticket = edge_.ticket_of(*this)](RateDecision decision) {
                                         if (Session* session = edge.find(ticket)) {
                                             static_cast<HttpConnection*>(session)->on_rate_decision(decision);
                                         }
                                     });
}

void HttpConnection::on_rate_decision(const RateDecision& decision) {
    rate_ = decision;
    if (decision.allowed) {
        handle();
    } else {
        edge_.services().metrics.rate_limited(route_label(match_.route), request_.method);
        answer(edge_.replies().rate_limited(context(), wall_now()), 429);
    }
    resume();
}

void HttpConnection::answer(std::string response, int status) {
    edge_.services().metrics.http_request(route_label(match_.route), request_.method, static_cast<unsigned>(status),
                                          edge_.loop().now() - began_);
    const bool last = context().connection == Connection::close;
    request_.body = std::string();
    shard().send(*this, response);
    if (backlog() > 0) {
        set_state(last ? State::writing_last : State::writing);
    } else if (last) {
        ::shutdown(fd(), SHUT_WR);
        set_state(State::lingering);
    } else {
        set_state(State::receiving);
    }
}

void HttpConnection::set_state(State state) {
    state_ = state;
    since_ms_ = edge_.clock_ms();
}

void HttpConnection::become_websocket() {
    Edge& edge = edge_;
    auto next = std::make_unique<WsSession>(edge, shard(), release_fd(), upgrade_.terms);
    WsSession& session = *next;
    const Upgrade upgrade = std::move(upgrade_);
    const std::string board = boards_.empty() ? std::string() : std::move(boards_.front());
    std::string unread = std::move(unread_);
    edge.replace(*this, std::move(next));
    if (upgrade.close_code != 0) {
        session.refuse(upgrade.response, upgrade.close_code, upgrade.close_reason);
    } else {
        session.open(board, upgrade.response, upgrade.terms);
    }
    if (!unread.empty()) {
        session.on_input(unread);
    }
}

void HttpConnection::become_stream() {
    Edge& edge = edge_;
    const Chunks chunks = request_.version >= 11 ? Chunks::yes : Chunks::no;
    std::string head = edge.replies().sse_head(context(), wall_now());
    if (chunks == Chunks::yes) {
        // Every event is a chunk of its own, so that the same bytes serve all streams and a proxy can tell the end from
        // a loss.
        head.insert(head.size() - 2, "Transfer-Encoding: chunked\r\n");
    }
    edge.services().metrics.http_request(route_label(match_.route), request_.method, 200, edge.loop().now() - began_);
    auto next = std::make_unique<SseSession>(edge, shard(), release_fd(), chunks);
    SseSession& session = *next;
    std::vector<std::string> boards = std::move(boards_);
    const hub::ResumePoint point = std::move(point_);
    edge.replace(*this, std::move(next));
    session.open(std::move(boards), head, point);
}

void HttpConnection::on_trouble(hub::Trouble) {
    // Nobody to tell: the socket failed, or its backlog is this very answer and all backlogs together are full.
    edge_.destroy(*this);
}

void HttpConnection::on_sweep() {
    const Options& options = edge_.options();
    const std::uint32_t time = edge_.clock_ms() - since_ms_;
    switch (state_) {
        case State::receiving:
            if (input_.in_request() && time >= ms(options.header_timeout)) {
                request_ = HttpRequest{.keep_alive = false};
                match_ = {};
                request_id_ = request_id_for({});
                fail_with(408, "Request took too long");
                resume();
            } else if (time >= ms(options.idle_timeout)) {
                edge_.destroy(*this);
            }
            break;
        case State::writing:
        case State::writing_last:
            if (time >= ms(options.idle_timeout)) {
                edge_.destroy(*this);
            }
            break;
        case State::lingering:
            if (time >= kLingerMs) {
                edge_.destroy(*this);
            }
            break;
        case State::deciding:     // Answered exactly once, and
        case State::publishing:   // the publisher has a deadline of its own,
        case State::remembering:  // and so has the history.
        case State::upgrading:
        case State::streaming:
            break;
    }
}

void HttpConnection::on_published(board::PublishResult result, const Receipt*) {
    using enum board::PublishOutcome;
    if (result.outcome == accepted) {
        reply({.status = 202, .body = accepted_});
    } else {
        reply({.status = 503,
               .body = result.outcome == rejected ? R"({"outcome":"rejected"})" : R"({"outcome":"unknown"})",
               .headers = {{"Retry-After", "1"}}});
    }
    resume();
}

void HttpConnection::go_away() {
    // A request in hand is answered first, with Connection: close.
    if (state_ == State::receiving) {
        edge_.destroy(*this);
    } else if (state_ == State::writing) {
        state_ = State::writing_last;
    }
}

}  // namespace boardbus::web

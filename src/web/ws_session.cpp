// SPDX-License-Identifier: Apache-2.0
#include "web/ws_session.h"

#include <sys/socket.h>

#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "board/envelope.h"
#include "board/message.h"
#include "telemetry/log.h"
#include "web/edge.h"

namespace boardbus::web {
namespace {

// Messages of one socket that the bus has not answered for. When they are that many the socket is not read, and its
// client's own send buffer is the queue. 64 saturate a broker (one at a time: 2,000/s), and one client must not own the
// publisher's window of 256.
constexpr std::uint16_t kInFlightMax = 64;
constexpr std::uint16_t kInFlightLow = 32;

// What one socket may make us do in a turn: 1 MiB of text, inflated, or 1,024 small frames with an answer each (5 µs), so that no
// client keeps the others of its loop waiting for more than some milliseconds. The rest of its input waits for the next turn.
constexpr std::size_t kWorkPerTurn = 1 << 20;
constexpr std::size_t kWorkPerFrame = 1024;

// How long a client may take to answer our close frame, or a slow one to read what comes before it.
constexpr std::uint32_t kCloseMs = 3000;

// How long a socket that is sent away may still give the bus what had been read from it: 256 KiB at most, in a window of 64.
// What is left then is refused, so that a slow bus is waited for once, not once for each window.
constexpr std::uint32_t kLeaveMs = 1000;

constexpr std::string_view kRateLimited = "Too many messages on this socket; the message was not sent.";
constexpr std::string_view kRejected = "The event bus did not take the message; it may be sent again.";
constexpr std::string_view kUnknown =
    "The event bus did not answer in time; the message may be sent again with the same correlation_id.";

hub::Form form_of(const WsTerms& terms) {
    // Events are compressed once, with the full window: a client that asked for a smaller one gets them plain, which is
    // allowed.
    return terms.deflate && terms.server_window_bits == 15 ? hub::Form::ws_deflate : hub::Form::ws;
}

std::uint32_t ms(std::chrono::seconds time) {
    return static_cast<std::uint32_t>(std::chrono::milliseconds(time).count());
}

}  // namespace

WsSession::WsSession(Edge& edge, hub::Shard& shard, UniqueFd fd, const WsTerms& terms)
    : Session(edge, shard, std::move(fd), form_of(terms)),
      heard_ms_(edge.clock_ms()),
      marked_ms_(heard_ms_),
      deflate_(terms.deflate) {}

WsSession::~WsSession() {
    if (counted_) {
        edge_.counters().websocket.connections.subtract();
        edge_.services().occupancy.websockets.leave();
    }
}

void WsSession::open(std::string_view board, std::string_view response, const WsTerms& terms) {
    counted_ = true;
    edge_.counters().websocket.connections.add();
    edge_.counters().websocket.opened.add();
    if (terms.v1 || terms.point.kind != hub::ResumePoint::Kind::now) {
        hears_notices_ = true;
        boards_.reset(new WsBoards{.path_board = std::string(board), .speaks_v1 = terms.v1});
        subscribe(std::string(board), terms.point);
    } else {
        // Joined before the client can know of it: what it sends after the answer, it gets back.
        shard().join(*this, board);
    }
    shard().send(*this, response);
    if (speaks_v1()) {
        send_frame(Opcode::text, v1::hello_frame(edge_.options().ping_interval));
        if (!edge_.is_live()) {
            on_live(false);
        }
    }
    if (edge_.draining()) {
        go_away();
    }
}

void WsSession::refuse(std::string_view response, std::uint16_t code, std::string_view reason) {
    shard().send(*this, response);
    close(code, reason);
}

void WsSession::on_ready(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        shard().on_writable(*this);
        ask_next();
        leave_if_done();
    }
    if ((events & EPOLLIN) != 0) {
        const auto input = edge_.receive(*this);
        if (input.ended) {
            edge_.destroy(*this);
            return;
        }
        on_input(input.bytes);
        return;
    }
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        edge_.destroy(*this);
        return;
    }
    end_if_done();
}

void WsSession::on_input(std::span<char> bytes) {
    edge_.counters().bytes_received.add(bytes.size());
    heard_ms_ = edge_.clock_ms();
    if (state_ == State::pinged) {
        state_ = State::open;
    }
    take(bytes);
}

void WsSession::take(std::span<char> bytes) {
    const WsRules rules{.message_bytes_max = edge_.options().max_message_bytes,
                        .inflater = deflate_ ? &edge_.inflater() : nullptr};
    std::size_t work = 0;
    while (work < kWorkPerTurn && (in_flight_ < kInFlightMax || is_closing())) {
        const WsEvent event = input_.next(bytes, rules);
        if (event.kind == WsEvent::Kind::none) {
            leave_if_done();
            end_if_done();
            return;
        }
        work += kWorkPerFrame + event.payload.size();
        on_event(event);
    }
    if (!bytes.empty()) {
        unread_ = std::make_unique<std::string>(bytes.begin(), bytes.end());
    }
    shard().set_reading(*this, false);
    if (in_flight_ <= kInFlightLow || is_closing()) {
        read_on_later();  // Else on_published() goes on.
    }
}

void WsSession::read_on_later() {
    // Bound: one task per socket and turn, and one per answer to a socket that is leaving.
    edge_.loop().post([&edge = edge_, ticket = edge_.ticket_of(*this)] {
        if (Session* session = edge.find(ticket)) {
            static_cast<WsSession*>(session)->read_on();
        }
    });
}

void WsSession::read_on() {
    if (is_read() || (!is_closing() && in_flight_ > kInFlightLow)) {
        return;
    }
    if (state_ == State::pinged) {
        marked_ms_ = edge_.clock_ms();  // The pong that may wait in the socket has its full time from now.
    }
    shard().set_reading(*this, state_ != State::leaving);
    const auto unread = std::move(unread_);
    take(unread ? std::span<char>(*unread) : std::span<char>());
}

void WsSession::on_event(const WsEvent& event) {
    edge_.counters().frames_received.add();
    switch (event.kind) {
        case WsEvent::Kind::text:
            if (!is_closing()) {
                on_text(event.payload);
            }
            break;
        case WsEvent::Kind::ping:
            if (!is_closing()) {
                send_frame(Opcode::pong, event.payload);
            }
            break;
        case WsEvent::Kind::close:
            close(event.code, {});
            state_ = State::closed;
            break;
        case WsEvent::Kind::failure:
            close(event.code, event.payload);
            // Nothing that follows is understood, the answer to our close frame neither. The end of our stream says that
            // there is no need for one.
            state_ = State::failed;
            break;
        case WsEvent::Kind::pong:
        case WsEvent::Kind::none:
            break;
    }
}

void WsSession::on_text(std::string_view text) {
    edge_.counters().messages_received.add();
    if (speaks_v1()) {
        on_v1_text(text);
        return;
    }
    if (is_limited()) {
        send_frame(Opcode::text, board::error_frame("rate_limited", kRateLimited));
        return;
    }
    const auto message = board::parse_board_message(text);
    if (!message) {
        edge_.counters().messages_invalid.add();
        send_frame(Opcode::text, board::error_frame(message.error()));
        return;
    }
    publish(board::seal(*message, std::string(path_board()), random_uuid(), random_uuid(), wall_now()));
}

bool WsSession::is_limited() {
    const auto& limit = edge_.options().message_rate_limit;
    if (!limit || bucket_.take(*limit, edge_.loop().now())) {
        return false;
    }
    edge_.counters().messages_limited.add();
    return true;
}

void WsSession::publish(board::Publication publication, std::unique_ptr<Receipt> receipt) {
    if (state_ == State::leaving && edge_.clock_ms() - marked_ms_ >= kLeaveMs) {
        answer({board::PublishOutcome::rejected, "the server is going away"}, receipt.get());
        return;
    }
    ++in_flight_;
    edge_.publish(*this, std::move(publication), std::move(receipt));
}

void WsSession::on_published(board::PublishResult result, const Receipt* receipt) {
    --in_flight_;
    if (is_closing()) {
        return;
    }
    answer(result, receipt);
    if (state_ != State::leaving) {
        read_on();
    } else if (in_flight_ <= kInFlightLow) {
        read_on_later();  // The bus may answer at once, and then take() is still at work.
    }
}

void WsSession::answer(const board::PublishResult& result, const Receipt* receipt) {
    const bool accepted = result.outcome == board::PublishOutcome::accepted;
    if (receipt != nullptr) {
        send_frame(Opcode::text, accepted ? v1::ack_frame(*receipt) : v1::nack_frame(*receipt, result, random_unit()));
    } else if (!accepted) {
        const bool rejected = result.outcome == board::PublishOutcome::rejected;
        send_frame(Opcode::text, board::error_frame("event_bus_failure", rejected ? kRejected : kUnknown));
    }
}

void WsSession::send_frame(Opcode opcode, std::string_view payload) {
    std::string frame;
    append_frame(frame, opcode, payload);
    shard().send(*this, frame);
}

void WsSession::close(std::uint16_t code, std::string_view reason) {
    if (is_closing()) {
        return;
    }
    state_ = State::closing;
    marked_ms_ = edge_.clock_ms();
    unread_.reset();
    shard().set_reading(*this, true);
    std::string frame;
    append_close(frame, code, reason);
    shard().send_last(*this, frame);
}

void WsSession::end_if_done() {
    if (backlog() > 0) {
        return;
    }
    if (state_ == State::closed) {
        edge_.destroy(*this);
    } else if (state_ == State::failed) {
        ::shutdown(fd(), SHUT_WR);
    }
}

void WsSession::on_notice(std::string_view, const hub::EncodedNotice& notice) {
    if (is_closing()) {
        return;
    }
    edge_.counters().gaps.add();
    if (hears_notices_ && notice.kind != hub::Notice::Kind::cut) {
        shard().send(*this, notice.forms[static_cast<std::size_t>(form())]);
    } else {
        // It knows no other way to say that something is missing.
        close(close_code::kServiceRestart, "events are missing");
    }
}

void WsSession::on_trouble(hub::Trouble trouble) {
    if (trouble == hub::Trouble::lost || is_closing()) {
        edge_.destroy(*this);
        return;
    }
    edge_.counters().websocket.slow_readers_closed.add();
    telemetry::log(telemetry::Level::warn, "slow_reader_closed",
                   {{"board", board()}, {"backlog_bytes", static_cast<std::int64_t>(backlog())}});
    close(close_code::kTryAgainLater, "reader too slow");
}

void WsSession::on_sweep() {
    const std::uint32_t now = edge_.clock_ms();
    switch (state_) {
        case State::open:
            if (now - heard_ms_ >= ms(edge_.options().ping_interval)) {
                state_ = State::pinged;
                marked_ms_ = now;
                send_frame(Opcode::ping, {});
            }
            break;
        case State::pinged:
            // A socket that is not read cannot show its pong.
            if (now - marked_ms_ >= ms(edge_.options().pong_timeout) && is_read()) {
                edge_.counters().pings_unanswered.add();
                edge_.destroy(*this);
            }
            break;
        case State::leaving:  // The publisher has a deadline of its own.
            leave_if_done();
            break;
        case State::closing:
        case State::failed:
        case State::closed:
            if (now - marked_ms_ >= kCloseMs) {
                edge_.destroy(*this);
            }
            break;
    }
}

void WsSession::go_away() {
    if (in_flight_ == 0 && !unread_ && backlog() == 0) {
        say_going_away();
    } else if (!is_closing()) {
        // The answers to what has been read come first. Where some of it is unread, read_on() is due or waits for the window.
        state_ = State::leaving;
        marked_ms_ = edge_.clock_ms();
        shard().set_reading(*this, false);
    }
}

void WsSession::leave_if_done() {
    // The close frame would overtake answers that wait for a slow reader.
    if (state_ == State::leaving && in_flight_ == 0 && !unread_ &&
        (backlog() == 0 || edge_.clock_ms() - marked_ms_ >= kCloseMs)) {
        say_going_away();
    }
}

void WsSession::say_going_away() {
    if (speaks_v1() && !is_closing()) {
        send_frame(Opcode::text, v1::going_away_frame(edge_.reconnect_delay()));
    }
    close(close_code::kGoingAway, "the server is going away");
}

}  // namespace boardbus::web

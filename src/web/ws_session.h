// One WebSocket on a board; with the subprotocol boardbus.v1, on several.
//
// There may be 100,000 of these, so that everything a socket needs only while something happens is elsewhere: the read
// buffer and the inflater belong to the loop, a backlog exists only while the reader is slow, an incomplete message
// only until it is complete, and the edge's sweep replaces timers. Spec: CONTRACT §3, RFC 6455. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "web/rate_limit.h"
#include "web/session.h"
#include "web/ws_boards.h"
#include "web/ws_codec.h"

namespace boardbus::web {

/// What the handshake has agreed on.
struct WsTerms {
    bool deflate = false;  ///< permessage-deflate, in both directions.
    int server_window_bits = 15;
    bool v1 = false;         ///< boardbus.v1: the extended protocol.
    hub::ResumePoint point;  ///< Where it begins; a cursor came as ?since=.
};

class WsSession final : public Session {
  public:
    WsSession(Edge& edge, hub::Shard& shard, UniqueFd fd, const WsTerms& terms);
    ~WsSession() override;

    /// Joins the board and answers the handshake. Takes over one place of Occupancy::websockets.
    void open(std::string_view board, std::string_view response, const WsTerms& terms);

    /// Answers the handshake only to say why not: a browser's script sees the close code, never an HTTP status.
    void refuse(std::string_view response, std::uint16_t code, std::string_view reason);

    /// Takes bytes from the client. The last thing to be called in a turn's handling: the session may be gone
    /// afterwards.
    void on_input(std::span<char> bytes);

    void on_ready(std::uint32_t events) override;
    void on_trouble(hub::Trouble trouble) override;
    void on_sweep() override;
    void on_notice(std::string_view board, const hub::EncodedNotice& notice) override;
    void on_published(board::PublishResult result, const Receipt* receipt) override;
    void on_resumed(hub::ResumeAnswer answer) override;
    void on_past(Result<hub::SharedPast>) override {}
    void on_live(bool live) override;
    void go_away() override;

  private:
    enum class State : std::uint8_t {
        open,
        pinged,   ///< A ping is out; anything that the client sends is an answer.
        leaving,  ///< The server is going away: the answers to what it has read, then our close frame.
        closing,  ///< Our close frame is out or waits; nothing but the client's is of interest.
        failed,  ///< The client broke the protocol: our close frame, then the end of our stream; what it says is not read.
        closed,  ///< Both close frames are done; what waits is written, then the socket goes.
    };

    bool is_closing() const { return state_ >= State::closing; }
    void take(std::span<char> bytes);
    void read_on();
    void read_on_later();
    void on_event(const WsEvent& event);
    void on_text(std::string_view text);
    bool is_limited();
    void publish(board::Publication publication, std::unique_ptr<Receipt> receipt = {});
    void answer(const board::PublishResult& result, const Receipt* receipt);
    void leave_if_done();
    void say_going_away();

    // Several boards, cursors, and the extended protocol: ws_session_v1.cpp.
    bool speaks_v1() const { return boards_ && boards_->speaks_v1; }
    std::string_view path_board() const { return boards_ ? std::string_view(boards_->path_board) : board(); }
    void subscribe(std::string board, const hub::ResumePoint& point);
    void unsubscribe(const v1::Command& command);
    void ask_next();
    void tell_subscribed(std::string_view board, const hub::ResumeAnswer& answer);
    void on_v1_text(std::string_view text);
    void refuse_limited(std::string_view message);
    void run(const v1::Command& command);
    void publish_v1(std::string board, std::string_view text);

    void send_frame(Opcode opcode, std::string_view payload);
    void close(std::uint16_t code, std::string_view reason);
    void end_if_done();

    std::uint32_t heard_ms_;  // When the client last said anything. First: it fits into the end of Session.
    std::unique_ptr<std::string>
        unread_;                        // Input behind the message that filled the window or the turn. Bound: one read.
    std::unique_ptr<WsBoards> boards_;  // None for a plain socket that began with its board's next event.
    WsInput input_;
    TokenBucket bucket_;
    std::uint32_t marked_ms_;  // pinged, leaving, closing: since when.
    std::uint16_t in_flight_ = 0;
    State state_ = State::open;
    bool deflate_ : 1;
    bool hears_notices_ : 1 = false;  // It asked for them: gap and resync instead of 1012.
    bool counted_ : 1 = false;        // It holds a place of Occupancy::websockets.
};
// With malloc's own 8 bytes a block of 128; the next one has 144.
static_assert(sizeof(WsSession) <= 120);

}  // namespace boardbus::web

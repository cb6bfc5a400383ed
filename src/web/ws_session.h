// One WebSocket on a board.
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
#include "web/ws_codec.h"

namespace boardbus::web {

/// What the handshake has agreed on.
struct WsTerms {
    bool deflate = false;  ///< permessage-deflate, in both directions.
    int server_window_bits = 15;
};

class WsSession final : public Session {
  public:
    WsSession(Edge& edge, hub::Shard& shard, UniqueFd fd, const WsTerms& terms);
    ~WsSession() override;

    /// Joins the board and answers the handshake. Takes over one place of Occupancy::websockets.
    void open(std::string_view board, std::string_view response);

    /// Answers the handshake only to say why not: a browser's script sees the close code, never an HTTP status.
    void refuse(std::string_view response, std::uint16_t code, std::string_view reason);

    /// Takes bytes from the client. The last thing to be called in a turn's handling: the session may be gone
    /// afterwards.
    void on_input(std::span<char> bytes);

    void on_ready(std::uint32_t events) override;
    void on_trouble(hub::Trouble trouble) override;
    void on_sweep() override;
    void on_published(board::PublishResult result) override;
    void go_away() override;

  private:
    enum class State : std::uint8_t {
        open,
        pinged,   ///< A ping is out; anything that the client sends is an answer.
        closing,  ///< Our close frame is out or waits; nothing but the client's is of interest.
        failed,  ///< The client broke the protocol: our close frame, then the end of our stream; what it says is not read.
        closed,  ///< Both close frames are done; what waits is written, then the socket goes.
    };

    bool is_closing() const { return state_ >= State::closing; }
    void take(std::span<char> bytes);
    void read_on();
    void on_event(const WsEvent& event);
    void on_text(std::string_view text);
    void send_frame(Opcode opcode, std::string_view payload);
    void close(std::uint16_t code, std::string_view reason);
    void end_if_done();

    std::unique_ptr<std::string>
        unread_;  // Input behind the message that filled the window or the turn. Bound: one read.
    WsInput input_;
    TokenBucket bucket_;
    std::uint32_t heard_ms_;   // When the client last said anything.
    std::uint32_t marked_ms_;  // pinged, closing: since when.
    std::uint16_t in_flight_ = 0;
    State state_ = State::open;
    bool deflate_;
    bool counted_ = false;  // It holds a place of Occupancy::websockets.
};

}  // namespace boardbus::web

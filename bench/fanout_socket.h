// One reader of a fan-out, the client's side: a WebSocket on a board, or an SSE stream. Ten thousands of them fit into one process.
//
// Connects, upgrades and reads without blocking on a loop. What has arrived is parsed where it lies in one buffer that all sockets share;
// only the rest of an incomplete frame is kept. Understands what boardbus and the floor program send: whole frames, one event per chunk.
// Spec: RFC 6455, RFC 7692 (no_context_takeover), RFC 9112 §7.1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "bench/event_number.h"
#include "bench/fanout_ledger.h"
#include "web/ws_codec.h"

namespace boardbus::bench {

enum class Wire : std::uint8_t {
    websocket,
    websocket_deflate,  ///< The same, offering permessage-deflate.
    sse,
};

enum class Mood : std::uint8_t {
    reading,
    stalled,  ///< Reads nothing after the handshake, until resume(). What it reads then counts for nothing.
};

/// Where a socket connects to, and from where.
struct Route {
    sockaddr_in server{};
    sockaddr_in source{};  ///< Any port. Each source address has 28,000 ports of its own.
    std::string request;   ///< The whole opening request.
};

class FanoutSocket;

class FanoutSocketOwner {
  public:
    /// The handshake is complete.
    virtual void on_open(FanoutSocket& socket) = 0;
    virtual void on_event(FanoutSocket& socket, std::uint64_t number, std::size_t bytes, Instant now) = 0;
    /// The server answered a message with an error frame.
    virtual void on_refused(FanoutSocket& socket, std::string_view text) = 0;
    /// The connection has ended, or could not be made; `code` is 0 without a close frame. Not told after cut().
    virtual void on_ended(FanoutSocket& socket, std::uint16_t code, const std::string& why) = 0;

  protected:
    ~FanoutSocketOwner() = default;
};

class FanoutSocket final : private Watcher {
  public:
    FanoutSocket(Loop& loop, FanoutSocketOwner& owner, EventNumbers& numbers, Wire wire, Mood mood)
        : loop_(loop), owner_(owner), numbers_(numbers), wire_(wire), mood_(mood) {}
    FanoutSocket(const FanoutSocket&) = delete;
    FanoutSocket& operator=(const FanoutSocket&) = delete;
    ~FanoutSocket() { cut(); }

    /// Begins to connect. The route need not outlive the call.
    void open(const Route& route);
    /// Ends the connection at once and in silence; open() may follow.
    void cut();

    /// Queues a text of less than 64 KiB. Bound: the owner's window.
    void send_text(std::string_view text);
    void flush();

    /// A stalled socket begins to read.
    void resume();

    /// Whether the handshake of the last open() was completed.
    bool was_open() const { return was_open_; }
    Mood mood() const { return mood_; }

    /// The owner's note about this reader.
    Seat seat;

  private:
    enum class State : std::uint8_t { closed, connecting, upgrading, open };

    void on_ready(std::uint32_t events) override;
    void on_connected();
    void receive();
    /// These four return how much of `bytes` they have used.
    std::size_t take(std::string_view bytes, Instant now);
    std::size_t take_answer(std::string_view bytes);
    std::size_t take_frames(std::string_view bytes, Instant now);
    std::size_t take_chunks(std::string_view bytes, Instant now);
    void on_frame(std::uint8_t first_byte, std::string_view payload, Instant now);
    void end(std::uint16_t code, const std::string& why);
    void watch();

    // Constant after construction.
    Loop& loop_;
    FanoutSocketOwner& owner_;
    EventNumbers& numbers_;
    const Wire wire_;
    const Mood mood_;

    // Loop only.
    UniqueFd fd_;
    std::string received_;  // The rest of an incomplete frame. Bound: the shared buffer.
    std::string unsent_;    // First the request.
    State state_ = State::closed;
    bool wants_out_ = false;
    bool was_open_ = false;
    bool resumed_ = false;
};

}  // namespace boardbus::bench

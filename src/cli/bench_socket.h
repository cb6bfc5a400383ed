// One client of the server under load: a WebSocket on a board, or its SSE stream, as tens of thousands fit into one process.
//
// Connects, shakes hands and reads without ever blocking. What the server sends is hostile: every way in which a connection may end has
// one short text, made of our words and numbers only, so that endings can be counted. An idle open socket owns no buffer. Lives on its
// loop. Spec: RFC 6455 (client side); SSE as docs/protocol.md has it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "cli/bench_target.h"
#include "web/ws_codec.h"

namespace boardbus::cli {

enum class BenchStream { websocket, sse };

class BenchSocket;

/// Who uses a BenchSocket. No call may destroy it.
class BenchSocketOwner {
  public:
    /// The server has accepted; `handshake` counts from the moment at which the connection was due.
    virtual void on_open(BenchSocket& socket, std::chrono::nanoseconds handshake) = 0;
    /// A text frame, or an SSE event with its field names. `text` lives until the call returns; `now` is when it was read.
    virtual void on_text(BenchSocket& socket, std::string_view text, Instant now) = 0;
    /// The connection did not open, or has ended. Told once.
    virtual void on_end(BenchSocket& socket, const std::string& why) = 0;

  protected:
    ~BenchSocketOwner() = default;
};

class BenchSocket final : private Watcher {
  public:
    enum class State { idle, connecting, opening, open, ended };

    /// `number` is the owner's name for it.
    BenchSocket(Loop& loop, BenchSocketOwner& owner, std::size_t number);
    BenchSocket(const BenchSocket&) = delete;
    BenchSocket& operator=(const BenchSocket&) = delete;
    ~BenchSocket();

    /// Begins to connect to `board`, a name without special characters; once. May tell its end at once.
    void open(const BenchTarget& target, BenchStream stream, const std::string& board, Instant due);

    /// Queues a text of less than 64 KiB for flush(); ignored when the socket has ended.
    /// Bound: 16 MiB that the server has not read end the connection.
    void send_text(std::string_view text);
    void flush();

    /// Ends it from our side, with a reason that on_end() tells. Ignored when it has ended.
    void give_up(const std::string& why);

    std::size_t number() const { return number_; }
    State state() const { return state_; }
    /// The handshake was good, whatever came later.
    bool was_open() const { return was_open_; }
    bool is_opening() const { return state_ == State::connecting || state_ == State::opening; }

  private:
    struct SseBody;

    void on_ready(std::uint32_t events) override;
    void on_connected();
    void receive();
    void on_bytes(std::span<char> bytes, Instant now);
    void read_head(std::string& received, Instant now);
    void read_frames(std::span<char> bytes, Instant now);
    void read_events(std::span<char> bytes, Instant now);
    void send_frame(web::Opcode opcode, std::string_view payload);
    void watch(bool for_output);

    // Constant after construction.
    Loop& loop_;
    BenchSocketOwner& owner_;
    const std::size_t number_;

    // Loop only.
    const BenchTarget* target_ = nullptr;  // From open(); outlives this object.
    UniqueFd fd_;
    State state_ = State::idle;
    BenchStream stream_ = BenchStream::websocket;
    bool wants_out_ = false;
    bool was_open_ = false;
    Instant due_;
    std::string unsent_;
    std::string head_;  // Until it is complete. Bound: 64 KiB and one read.
    web::WsInput input_;
    std::unique_ptr<SseBody> sse_;
};

}  // namespace boardbus::cli

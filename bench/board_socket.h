// One WebSocket on a board, the client's side, as thousands of them fit into one load generator.
//
// Opened with blocking calls before the run, then non-blocking on a loop. Frames queued during a turn leave in one send when flush() is
// called. Understands what boardbus sends: whole, uncompressed frames. Spec: RFC 6455.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "cli/plain_socket.h"
#include "web/ws_codec.h"

namespace boardbus::bench {

/// An open WebSocket and what has already arrived on it.
struct OpenedSocket {
    cli::PlainSocket socket;
    std::string received;
};

/// Connects to `url` and upgrades on `path`. Errors: unavailable, timeout, refused (the server's status).
Result<OpenedSocket> open_websocket(const cli::HttpUrl& url, const std::string& path, const std::string& token);

class BoardSocket;

class BoardSocketOwner {
  public:
    /// `text` lives until the call returns; `now` is when its bytes were read.
    virtual void on_text(BoardSocket& socket, std::string_view text, Instant now) = 0;
    /// The connection has ended; told once.
    virtual void on_lost(const std::string& why) = 0;

  protected:
    ~BoardSocketOwner() = default;
};

class BoardSocket final : private Watcher {
  public:
    /// `number` is the owner's name for it.
    BoardSocket(Loop& loop, BoardSocketOwner& owner, OpenedSocket opened, std::size_t number);
    BoardSocket(const BoardSocket&) = delete;
    BoardSocket& operator=(const BoardSocket&) = delete;
    ~BoardSocket();

    /// Queues a text of less than 64 KiB. Bound: the owner's.
    void send_text(std::string_view text);
    void flush();

    std::size_t number() const { return number_; }

  private:
    void on_ready(std::uint32_t events) override;
    void receive();
    /// Takes all whole frames out of received_.
    void read_frames(Instant now);
    void on_frame(web::Opcode opcode, std::string_view payload, Instant now);
    void lose(const std::string& why);

    // Constant after construction.
    Loop& loop_;
    BoardSocketOwner& owner_;
    const std::size_t number_;

    // Loop only.
    cli::PlainSocket socket_;
    std::string received_;
    std::string unsent_;
    bool wants_out_ = false;
    bool lost_ = false;
};

}  // namespace boardbus::bench

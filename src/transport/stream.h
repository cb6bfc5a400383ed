// One TCP or TLS connection to a broker, on a loop.
//
// Resolves, connects, does the TLS handshake, then hands up bytes and takes bytes; all deadlines are its own. What is written during a
// turn leaves in one send at the turn's end. Knows no protocol. Names are always verified (RFC 6125) when TLS is on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "transport/resolver.h"
#include "transport/tls.h"

namespace boardbus::transport {

struct Endpoint {
    std::string host;  ///< A name, or an address (IPv6 without brackets).
    std::uint16_t port = 0;
    bool tls = false;

    bool operator==(const Endpoint&) const = default;
};

/// `host:port`, for people; IPv6 in brackets.
std::string to_text(const Endpoint& endpoint);

/// Who uses a Stream. Any of these calls may close or reopen the stream, but must not destroy it.
class StreamOwner {
  public:
    virtual void on_open() = 0;
    /// `bytes` live until the call returns.
    virtual void on_bytes(std::string_view bytes) = 0;
    /// Once per open(), unless close() came first. Errors: unavailable (not reached, lost), timeout, refused (certificate).
    virtual void on_closed(const Error& error) = 0;

  protected:
    ~StreamOwner() = default;
};

class Stream final : private Watcher, private TurnEnd {
  public:
    Stream(Loop& loop, StreamOwner& owner, TlsOptions tls);
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    /// Begins to connect; ends with on_open() or on_closed() in a later turn, within `deadline`. A name with several addresses shares
    /// the deadline among them, so that a dead one leaves time for the next.
    void open(const Endpoint& endpoint, std::chrono::milliseconds deadline);

    /// Queues bytes for the end of this turn; ignored unless is_open(). Bound: the caller's; see unsent().
    void write(std::string_view bytes);

    /// Bytes that the kernel has not taken yet.
    std::size_t unsent() const { return plain_.size() + wire_.size() - sent_; }

    /// Drops the connection; nothing is called any more until the next open().
    void close();

    bool is_open() const { return state_ == State::open; }

  private:
    enum class State { closed, resolving, connecting, securing, open };

    void on_ready(std::uint32_t events) override;
    void on_turn_end() override;
    void on_resolved(Result<std::vector<SocketAddress>> addresses);
    void try_next_address();
    bool connect_to(const SocketAddress& address);
    void on_connected();
    void on_secured();
    void on_timer();
    void attempt_failed(Errc code, std::string_view why);
    void end_soon(Error error);
    void end(Error error);
    void drop_socket();
    void receive();
    void decrypt();
    void flush();
    Error error(Errc code, std::string_view why) const;

    Loop& loop_;
    StreamOwner& owner_;
    const TlsOptions tls_options_;
    Resolver resolver_;

    // This open().
    Endpoint endpoint_;
    State state_ = State::closed;
    std::uint64_t life_ = 0;  // Rises with every open() and close(), so that a callback that did one is noticed.
    Instant deadline_;
    std::vector<SocketAddress> addresses_;
    std::size_t next_address_ = 0;
    Error last_error_;
    std::optional<Error> ending_;  // Told to the owner when the timer fires: never from inside his own call.
    Timer timer_;

    // This socket.
    UniqueFd fd_;
    std::unique_ptr<TlsClient> tls_;
    std::string plain_;  // TLS only: waits for the turn's end to be encrypted.
    std::string wire_;
    std::size_t sent_ = 0;  // That much of wire_ is with the kernel.
    bool wants_out_ = false;
    Instant flushed_at_;
};

}  // namespace boardbus::transport

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
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"

namespace boardbus::transport {

struct TlsOptions {
    std::string ca_file;    ///< Empty: the system's store.
    std::string cert_file;  ///< Client certificate; empty: none.
    std::string key_file;
};

struct Endpoint {
    std::string host;
    std::uint16_t port = 0;
    bool tls = false;
};

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

class Stream {
  public:
    Stream(Loop& loop, StreamOwner& owner, TlsOptions tls);
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream();

    /// Begins to connect; ends with on_open() or on_closed(), within `deadline`.
    void open(const Endpoint& endpoint, std::chrono::milliseconds deadline);

    /// Queues bytes for the end of this turn. Bound: the caller's; see unsent().
    void write(std::string_view bytes);

    /// Bytes that the kernel has not taken yet.
    std::size_t unsent() const;

    /// Drops the connection; nothing is called any more until the next open().
    void close();

    bool is_open() const;

  private:
    class Connection;
    Loop& loop_;
    StreamOwner& owner_;
    TlsOptions tls_;
    std::unique_ptr<Connection> connection_;
};

}  // namespace boardbus::transport

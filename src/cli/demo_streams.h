// The two client sides that `boardbus demo` needs, without sockets: an SSE stream and a WebSocket.
//
// Both take bytes as they come and hand out what is complete. Only what our own server sends is understood: no extensions, and what
// is longer than 16 MiB ends the demo.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "web/ws_codec.h"

namespace boardbus::cli {

/// The body of a response with `Transfer-Encoding: chunked`, or without. Spec: RFC 9112 §7.1.
class BodyBytes {
  public:
    explicit BodyBytes(bool chunked) : chunked_(chunked) {}

    /// Moves what is complete from `received` to the end of `body`. Errors: closed (the last chunk has come), invalid.
    Result<void> take(std::string& received, std::string& body);

  private:
    bool chunked_;
    std::size_t missing_ = 0;  // Of the chunk that has begun, its line end included.
};

/// Takes the next whole event, blank line included, out of `body`. Comments and heartbeats are events, too.
std::optional<std::string> take_sse_event(std::string& body);

struct ServerFrame {
    web::Opcode opcode{};
    std::string payload;
};

/// Takes the next whole frame out of `received`. Errors: invalid (masked, reserved bits, fragmented or too long).
Result<std::optional<ServerFrame>> take_server_frame(std::string& received);

/// A client's frame, masked with `key`. Payloads below 64 KiB.
std::string client_frame(web::Opcode opcode, std::string_view payload, std::array<char, 4> key);

}  // namespace boardbus::cli

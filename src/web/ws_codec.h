// WebSocket frames as bytes, without a socket: the server's side, and reading for a client.
//
// An idle connection owns one empty pointer: a frame that lies whole in the loop's read buffer is unmasked there and
// handed out from there, and only a message that has not arrived completely gets memory of its own, freed when it ends.
// Spec: RFC 6455 §5, §7.4, §8.1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace boardbus::web {

class Inflater;

enum class Opcode : std::uint8_t { continuation = 0x0, text = 0x1, binary = 0x2, close = 0x8, ping = 0x9, pong = 0xA };

/// Close codes are plain numbers, because clients and this server (4401) define their own. Spec: RFC 6455 §7.4.1.
namespace close_code {
constexpr std::uint16_t kNormal = 1000;
constexpr std::uint16_t kGoingAway = 1001;
constexpr std::uint16_t kProtocolError = 1002;
constexpr std::uint16_t kUnsupported = 1003;
constexpr std::uint16_t kNone = 1005;  ///< A close frame without a code; never on the wire.
constexpr std::uint16_t kBadText = 1007;
constexpr std::uint16_t kPolicy = 1008;
constexpr std::uint16_t kTooBig = 1009;
constexpr std::uint16_t kInternalError = 1011;
constexpr std::uint16_t kServiceRestart = 1012;
constexpr std::uint16_t kTryAgainLater = 1013;
constexpr std::uint16_t kUnauthorized = 4401;
}  // namespace close_code

/// Whose frames are read: a client masks each of them, a server none. Spec: RFC 6455 §5.1.
enum class Sender : bool { client, server };

/// What a connection has agreed on.
struct WsRules {
    std::size_t message_bytes_max = 0;  ///< Of a whole message, inflated; more is 1009.
    Inflater* inflater = nullptr;       ///< The loop's, when permessage-deflate was negotiated, else null.
    Sender sender = Sender::client;
};

struct WsEvent {
    enum class Kind {
        none,  ///< All bytes are used; come back with more.
        text,  ///< `payload` is a whole message in valid UTF-8.
        ping,  ///< `payload` is to be sent back in a pong.
        pong,
        close,  ///< The sender's close frame: `code` (1005 when it had none) and `payload`, its reason. The last event.
        failure,  ///< The sender broke the protocol: close with `code`, `payload` says why. The last event.
    };
    Kind kind = Kind::none;
    std::uint16_t code = 0;
    std::string_view payload;  ///< Lives until the next call of next(), and no longer than the bytes given.
};

/// The receiving half of one connection.
///
///     while ((event = input.next(bytes, rules)).kind != WsEvent::Kind::none) { ... }
///
/// Ask until it says none: that call also frees what the last event pointed to.
class WsInput {
  public:
    WsInput();
    ~WsInput();

    /// Takes the next event out of `bytes` and shortens it by what was used; the bytes may be unmasked where they are.
    /// After close or failure everything further is swallowed in silence.
    /// Bound: an incomplete message holds what has arrived of it, at most message_bytes_max (compressed: an eighth
    /// more).
    WsEvent next(std::span<char>& bytes, const WsRules& rules);

    /// True when a message or frame has begun and not ended.
    bool in_message() const { return partial_ != nullptr; }

  private:
    struct Frame;
    struct Partial;

    Partial& partial();
    bool in_data() const;
    WsEvent take_frame(std::span<char>& bytes, const WsRules& rules);
    bool take_header(std::span<char>& bytes, Frame& frame);
    WsEvent judge(const Frame& frame, const WsRules& rules);
    WsEvent take_payload(std::span<char>& bytes, const WsRules& rules);
    WsEvent text(std::string_view message);
    WsEvent inflated_text(std::string_view payload, const WsRules& rules);
    WsEvent control(Opcode opcode, std::string_view payload);
    WsEvent close(std::string_view payload);
    WsEvent failure(std::uint16_t code, std::string_view why);

    std::unique_ptr<Partial> partial_;
    bool ended_ = false;
};

enum class Compressed : bool { no, yes };

/// The first 2 to 10 bytes of a server's frame.
struct FrameHeader {
    std::array<char, 10> bytes;
    std::uint8_t size;

    std::string_view view() const { return {bytes.data(), size}; }
};

FrameHeader frame_header(Opcode opcode, std::size_t payload_bytes, Compressed compressed = Compressed::no);

/// Appends one unfragmented frame. A compressed payload is what Deflater made. Control payloads: at most 125 bytes.
void append_frame(std::string& out, Opcode opcode, std::string_view payload, Compressed compressed = Compressed::no);

/// Appends a close frame; kNone makes one without a code. The reason is cut to 123 bytes, at a character.
void append_close(std::string& out, std::uint16_t code, std::string_view reason = {});

/// XORs bytes with a client's masking key; `offset` counts the frame's payload bytes before these.
/// Spec: RFC 6455 §5.3.
void unmask(std::span<char> bytes, std::array<char, 4> key, std::size_t offset = 0);

}  // namespace boardbus::web

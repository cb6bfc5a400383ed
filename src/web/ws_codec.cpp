// SPDX-License-Identifier: Apache-2.0
#include "web/ws_codec.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "base/utf8.h"
#include "web/ws_deflate.h"

namespace boardbus::web {

namespace {

constexpr std::size_t kHeaderBytesMax = 14;    // 2 + 8 of length + 4 of masking key.
constexpr std::size_t kControlBytesMax = 125;  // RFC 6455 §5.5.
constexpr std::size_t kReasonBytesMax = kControlBytesMax - 2;

std::uint8_t byte_at(std::span<const char> bytes, std::size_t index) {
    return static_cast<std::uint8_t>(bytes[index]);
}

/// How long a header is, as far as its first bytes tell.
std::size_t header_bytes_needed(std::span<const char> header) {
    if (header.size() < 2) {
        return 2;
    }
    const auto second = byte_at(header, 1);
    const std::size_t length_bytes = (second & 0x7F) == 127 ? 8 : (second & 0x7F) == 126 ? 2 : 0;
    return 2 + length_bytes + ((second & 0x80) != 0 ? 4 : 0);
}

bool is_control(Opcode opcode) {
    return (static_cast<std::uint8_t>(opcode) & 0x8) != 0;
}

bool is_known(Opcode opcode) {
    const auto number = static_cast<std::uint8_t>(opcode);
    return number <= 0x2 || (number >= 0x8 && number <= 0xA);
}

/// Codes that may stand in a close frame. Spec: RFC 6455 §7.4 and its IANA registry.
bool may_be_sent(std::uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/// DEFLATE makes incompressible text longer, and a peer may flush often; beyond an eighth it is no honest message.
std::size_t compressed_bytes_max(std::size_t message_bytes_max) {
    return message_bytes_max + message_bytes_max / 8 + 64;
}

std::string_view view(std::span<const char> bytes) {
    return {bytes.data(), bytes.size()};
}

std::span<char> take(std::span<char>& bytes, std::size_t count) {
    const auto taken = bytes.first(count);
    bytes = bytes.subspan(count);
    return taken;
}

}  // namespace

struct WsInput::Frame {
    explicit Frame(std::span<const char> header = {}) {
        if (header.size() < 2) {
            return;
        }
        final = (byte_at(header, 0) & 0x80) != 0;
        reserved = byte_at(header, 0) & 0x70;
        opcode = Opcode(byte_at(header, 0) & 0x0F);
        masked = (byte_at(header, 1) & 0x80) != 0;
        length = byte_at(header, 1) & 0x7F;
        const std::size_t length_bytes = length == 127 ? 8 : length == 126 ? 2 : 0;
        if (length_bytes > 0) {
            length = 0;
            for (std::size_t index = 2; index < 2 + length_bytes; ++index) {
                length = length << 8 | byte_at(header, index);
            }
            minimal = length_bytes == 2 ? length >= 126 : length > 0xFFFF;
        }
        if (masked) {
            std::ranges::copy(header.subspan(2 + length_bytes, 4), key.begin());
        }
    }

    bool final = false;
    bool masked = false;
    bool minimal = true;  // The length is in its shortest form.
    std::uint8_t reserved = 0;
    Opcode opcode = Opcode::continuation;
    std::array<char, 4> key{};
    std::uint64_t length = 0;

    bool compressed() const { return reserved == 0x40; }
};

struct WsInput::Partial {
    std::array<char, kHeaderBytesMax> header;
    std::array<char, kControlBytesMax> control;
    std::uint8_t header_bytes = 0;  // More than none: waiting for the rest of a header.

    bool in_frame = false;  // Waiting for the rest of `frame`.
    Frame frame;
    std::size_t received = 0;  // Of the frame's payload.

    bool in_data = false;  // Waiting for the rest of `message`.
    bool compressed = false;
    Utf8Validator utf8;
    std::string message;

    bool idle() const { return header_bytes == 0 && !in_frame && !in_data; }
};

WsInput::WsInput() = default;
WsInput::~WsInput() = default;

WsEvent WsInput::next(std::span<char>& bytes, const WsRules& rules) {
    if (ended_ || (partial_ && partial_->idle())) {
        partial_.reset();
    }
    WsEvent event;
    while (!bytes.empty() && event.kind == WsEvent::Kind::none) {
        if (ended_) {
            bytes = {};
            break;
        }
        event = take_frame(bytes, rules);
    }
    return event;
}

WsInput::Partial& WsInput::partial() {
    if (!partial_) {
        partial_ = std::make_unique<Partial>();
    }
    return *partial_;
}

bool WsInput::in_data() const {
    return partial_ && partial_->in_data;
}

/// Goes on to the end of the frame or of the bytes.
WsEvent WsInput::take_frame(std::span<char>& bytes, const WsRules& rules) {
    if (partial_ && partial_->in_frame) {
        return take_payload(bytes, rules);
    }
    Frame frame;
    if (!take_header(bytes, frame)) {
        return {};
    }
    if (auto event = judge(frame, rules); event.kind != WsEvent::Kind::none) {
        return event;
    }
    const bool alone = is_control(frame.opcode) || (frame.opcode == Opcode::text && frame.final);
    if (alone && frame.length <= bytes.size()) {
        const auto payload = take(bytes, frame.length);
        if (frame.masked) {
            unmask(payload, frame.key);
        }
        if (is_control(frame.opcode)) {
            return control(frame.opcode, view(payload));
        }
        return frame.compressed() ? inflated_text(view(payload), rules) : text(view(payload));
    }
    partial().frame = frame;
    partial().in_frame = true;
    partial().received = 0;
    if (frame.opcode == Opcode::text) {
        partial().in_data = true;
        partial().compressed = frame.compressed();
    }
    return take_payload(bytes, rules);
}

/// False when the header is not complete: what there is of it is kept.
bool WsInput::take_header(std::span<char>& bytes, Frame& frame) {
    const bool begun = partial_ && partial_->header_bytes > 0;
    if (const auto needed = header_bytes_needed(bytes); !begun && needed <= bytes.size()) {
        frame = Frame(take(bytes, needed));
        return true;
    }
    auto& kept = partial();
    while (kept.header_bytes < header_bytes_needed({kept.header.data(), kept.header_bytes})) {
        if (bytes.empty()) {
            return false;
        }
        kept.header[kept.header_bytes++] = take(bytes, 1)[0];
    }
    frame = Frame({kept.header.data(), kept.header_bytes});
    kept.header_bytes = 0;
    return true;
}

/// A failure, or nothing when the frame may come. Spec: RFC 6455 §5.1, §5.2, §5.4, §5.5.
WsEvent WsInput::judge(const Frame& frame, const WsRules& rules) {
    const auto bad = [this](std::string_view why) { return failure(close_code::kProtocolError, why); };
    const bool begins_message = frame.opcode == Opcode::text || frame.opcode == Opcode::binary;
    if (frame.masked != (rules.sender == Sender::client)) {
        return bad(frame.masked ? "a server's frame is masked" : "frame is not masked");
    }
    if (!is_known(frame.opcode)) {
        return bad("unknown opcode");
    }
    // RFC 7692 §6: RSV1 marks a compressed message, on its first frame.
    if (frame.reserved != 0 && !(frame.compressed() && begins_message && rules.inflater != nullptr)) {
        return bad("reserved bit set");
    }
    if (!frame.minimal || frame.length > INT64_MAX) {
        return bad("length is not in its shortest form, or over 63 bits");
    }
    if (is_control(frame.opcode)) {
        if (!frame.final) {
            return bad("fragmented control frame");
        }
        return frame.length > kControlBytesMax ? bad("control frame over 125 bytes") : WsEvent();
    }
    if (begins_message == in_data()) {
        return bad(begins_message ? "new message inside a fragmented one" : "continuation of nothing");
    }
    if (frame.opcode == Opcode::binary) {
        return failure(close_code::kUnsupported, "binary message");
    }
    const bool compressed = begins_message ? frame.compressed() : partial_->compressed;
    const auto bytes_max = compressed ? compressed_bytes_max(rules.message_bytes_max) : rules.message_bytes_max;
    const std::size_t bytes_before = begins_message ? 0 : partial_->message.size();
    if (frame.length > bytes_max - bytes_before) {
        return failure(close_code::kTooBig, "message too big");
    }
    return {};
}

WsEvent WsInput::take_payload(std::span<char>& bytes, const WsRules& rules) {
    auto& kept = *partial_;
    const auto piece = take(bytes, std::min<std::size_t>(kept.frame.length - kept.received, bytes.size()));
    if (kept.frame.masked) {
        unmask(piece, kept.frame.key, kept.received);
    }
    const bool is_data = !is_control(kept.frame.opcode);
    if (!is_data) {
        std::ranges::copy(piece, kept.control.begin() + kept.received);
    } else if (kept.compressed || kept.utf8.feed(view(piece))) {
        kept.message.append(view(piece));
    } else {
        return failure(close_code::kBadText, "text is not UTF-8");
    }
    kept.received += piece.size();
    if (kept.received < kept.frame.length) {
        return {};
    }
    kept.in_frame = false;
    if (!is_data) {
        return control(kept.frame.opcode, {kept.control.data(), kept.received});
    }
    if (!kept.frame.final) {
        return {};
    }
    kept.in_data = false;
    if (kept.compressed) {
        return inflated_text(kept.message, rules);
    }
    if (!kept.utf8.complete()) {
        return failure(close_code::kBadText, "text is not UTF-8");
    }
    return {WsEvent::Kind::text, 0, kept.message};
}

WsEvent WsInput::text(std::string_view message) {
    if (!is_utf8(message)) {
        return failure(close_code::kBadText, "text is not UTF-8");
    }
    return {WsEvent::Kind::text, 0, message};
}

WsEvent WsInput::inflated_text(std::string_view payload, const WsRules& rules) {
    const auto message = rules.inflater->inflate(payload, rules.message_bytes_max);
    if (!message) {
        return failure(message.error(),
                       message.error() == close_code::kTooBig ? "message too big" : "bad compressed data");
    }
    return text(*message);
}

WsEvent WsInput::control(Opcode opcode, std::string_view payload) {
    switch (opcode) {
        case Opcode::ping:
            return {WsEvent::Kind::ping, 0, payload};
        case Opcode::pong:
            return {WsEvent::Kind::pong, 0, payload};
        default:
            return close(payload);
    }
}

/// Spec: RFC 6455 §5.5.1.
WsEvent WsInput::close(std::string_view payload) {
    if (payload.empty()) {
        ended_ = true;
        return {WsEvent::Kind::close, close_code::kNone, {}};
    }
    if (payload.size() == 1) {
        return failure(close_code::kProtocolError, "close code of one byte");
    }
    const auto code = static_cast<std::uint16_t>(byte_at(payload, 0) << 8 | byte_at(payload, 1));
    if (!may_be_sent(code)) {
        return failure(close_code::kProtocolError, "close code that may not be sent");
    }
    if (!is_utf8(payload.substr(2))) {
        return failure(close_code::kBadText, "close reason is not UTF-8");
    }
    ended_ = true;
    return {WsEvent::Kind::close, code, payload.substr(2)};
}

WsEvent WsInput::failure(std::uint16_t code, std::string_view why) {
    ended_ = true;
    return {WsEvent::Kind::failure, code, why};
}

FrameHeader frame_header(Opcode opcode, std::size_t payload_bytes, Compressed compressed) {
    assert(!is_control(opcode) || payload_bytes <= kControlBytesMax);
    FrameHeader header{};
    const auto put = [&header](std::size_t byte) { header.bytes[header.size++] = static_cast<char>(byte); };
    put(0x80 | (compressed == Compressed::yes ? 0x40 : 0) | static_cast<std::size_t>(opcode));
    const int length_bytes = payload_bytes < 126 ? 0 : payload_bytes <= 0xFFFF ? 2 : 8;
    put(length_bytes == 0 ? payload_bytes : length_bytes == 2 ? 126 : 127);
    for (int shift = (length_bytes - 1) * 8; shift >= 0; shift -= 8) {
        put(payload_bytes >> shift & 0xFF);
    }
    return header;
}

void append_frame(std::string& out, Opcode opcode, std::string_view payload, Compressed compressed) {
    out.append(frame_header(opcode, payload.size(), compressed).view());
    out.append(payload);
}

void append_close(std::string& out, std::uint16_t code, std::string_view reason) {
    if (code == close_code::kNone) {
        append_frame(out, Opcode::close, {});
        return;
    }
    if (reason.size() > kReasonBytesMax) {
        auto end = kReasonBytesMax;
        while (end > 0 && (byte_at(reason, end) & 0xC0) == 0x80) {
            --end;
        }
        reason = reason.substr(0, end);
    }
    out.append(frame_header(Opcode::close, 2 + reason.size()).view());
    out.push_back(static_cast<char>(code >> 8));
    out.push_back(static_cast<char>(code & 0xFF));
    out.append(reason);
}

void unmask(std::span<char> bytes, std::array<char, 4> key, std::size_t offset) {
    std::array<char, 8> turned;
    for (std::size_t index = 0; index < turned.size(); ++index) {
        turned[index] = key[(offset + index) % 4];
    }
    std::uint64_t key_word;
    std::memcpy(&key_word, turned.data(), 8);
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + at, 8);
        word ^= key_word;
        std::memcpy(bytes.data() + at, &word, 8);
    }
    for (; at < bytes.size(); ++at) {
        bytes[at] = static_cast<char>(bytes[at] ^ turned[at % 8]);
    }
}

}  // namespace boardbus::web

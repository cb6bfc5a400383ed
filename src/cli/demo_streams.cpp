// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_streams.h"

#include <algorithm>
#include <cassert>
#include <charconv>

namespace boardbus::cli {
namespace {

constexpr std::size_t kBytesMost = 16 << 20;

}  // namespace

Result<void> BodyBytes::take(std::string& received, std::string& body) {
    if (!chunked_) {
        body += received;
        received.clear();
        return {};
    }
    for (;;) {
        // Of a chunk's last two bytes, its CRLF, nothing goes into the body.
        const auto now = std::min(missing_, received.size());
        const auto payload = missing_ > 2 ? std::min(now, missing_ - 2) : 0;
        body.append(received, 0, payload);
        received.erase(0, now);
        missing_ -= now;
        const auto line_end = received.find("\r\n");
        if (missing_ > 0 || line_end == std::string::npos) {
            return {};
        }
        std::size_t size = 0;
        const auto [end, error] = std::from_chars(received.data(), received.data() + line_end, size, 16);
        if (error != std::errc() || size > kBytesMost) {
            return fail(Errc::invalid, "a chunk without a size");
        }
        if (size == 0) {
            return fail(Errc::closed, "the server ended the stream");
        }
        received.erase(0, line_end + 2);
        missing_ = size + 2;
    }
}

std::optional<std::string> take_sse_event(std::string& body) {
    const auto end = body.find("\n\n");
    if (end == std::string::npos) {
        return std::nullopt;
    }
    std::string event = body.substr(0, end + 2);
    body.erase(0, end + 2);
    return event;
}

Result<std::optional<ServerFrame>> take_server_frame(std::string& received) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(received[i]); };
    if (received.size() < 2) {
        return std::nullopt;
    }
    if ((byte(0) & 0xF0U) != 0x80U || (byte(1) & 0x80U) != 0) {
        return fail(Errc::invalid, "the server sent a frame that is fragmented, compressed or masked");
    }
    std::uint64_t length = byte(1);
    const std::size_t extra = length == 127 ? 8 : length == 126 ? 2 : 0;
    if (received.size() < 2 + extra) {
        return std::nullopt;
    }
    if (extra > 0) {
        length = 0;
        for (std::size_t i = 0; i < extra; ++i) {
            length = (length << 8) | byte(2 + i);
        }
    }
    if (length > kBytesMost) {
        return fail(Errc::invalid, "the server sent a frame longer than 16 MiB");
    }
    const auto size = static_cast<std::size_t>(length);
    if (received.size() < 2 + extra + size) {
        return std::nullopt;
    }
    ServerFrame frame{static_cast<web::Opcode>(byte(0) & 0x0FU), received.substr(2 + extra, size)};
    received.erase(0, 2 + extra + size);
    return frame;
}

std::string client_frame(web::Opcode opcode, std::string_view payload, std::array<char, 4> key) {
    assert(payload.size() < 65536);
    std::string frame(1, static_cast<char>(0x80U | static_cast<unsigned>(opcode)));
    if (payload.size() < 126) {
        frame += static_cast<char>(0x80U | payload.size());
    } else {
        frame += static_cast<char>(0xFEU);
        frame += static_cast<char>(payload.size() >> 8);
        frame += static_cast<char>(payload.size() & 0xFFU);
    }
    frame.append(key.data(), key.size());
    const auto start = frame.size();
    frame += payload;
    web::unmask(std::span(frame).subspan(start), key);
    return frame;
}

}  // namespace boardbus::cli

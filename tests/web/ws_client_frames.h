// The client's side of a WebSocket for tests: masked frames out, events of WsInput as texts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "web/ws_codec.h"

namespace boardbus::web {

inline constexpr std::array<char, 4> kTestKey{'\x37', '\xFA', '\x21', '\x3D'};  // That of RFC 6455 §5.7.

/// A masked frame; `first` is its first byte (0x81: final text). The length is in its shortest form.
inline std::string client_frame(int first, std::string_view payload) {
    auto frame = std::string(frame_header(Opcode::text, payload.size()).view());
    frame[0] = static_cast<char>(first);
    frame[1] = static_cast<char>(frame[1] | 0x80);
    frame.append(kTestKey.data(), kTestKey.size());
    for (std::size_t index = 0; index < payload.size(); ++index) {
        frame.push_back(static_cast<char>(payload[index] ^ kTestKey[index % 4]));
    }
    return frame;
}

inline std::string to_text(const WsEvent& event) {
    const auto code = std::to_string(event.code);
    switch (event.kind) {
        case WsEvent::Kind::none:
            return "none";
        case WsEvent::Kind::text:
            return "text " + std::string(event.payload);
        case WsEvent::Kind::ping:
            return "ping " + std::string(event.payload);
        case WsEvent::Kind::pong:
            return "pong " + std::string(event.payload);
        case WsEvent::Kind::close:
            return "close " + code + " " + std::string(event.payload);
        case WsEvent::Kind::failure:
            return "failure " + code;
    }
    return "?";
}

/// All events of `stream` when it arrives in pieces of `piece_bytes`.
inline std::vector<std::string> events_of(std::string stream, const WsRules& rules, std::size_t piece_bytes) {
    WsInput input;
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        // Memory of exactly this size, so that the sanitizer sees every byte read too many.
        std::vector<char> piece(
            stream.begin() + static_cast<std::ptrdiff_t>(at),
            stream.begin() + static_cast<std::ptrdiff_t>(std::min(at + piece_bytes, stream.size())));
        std::span<char> bytes(piece);
        for (auto event = input.next(bytes, rules); event.kind != WsEvent::Kind::none;
             event = input.next(bytes, rules)) {
            events.push_back(to_text(event));
        }
    }
    return events;
}

}  // namespace boardbus::web

// The client's side of a WebSocket for tests: masked frames out, events of WsInput as texts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "web/ws_codec.h"

namespace boardbus::web {

inline constexpr std::array<char, 4> kTestKey{'\x37', '\xFA', '\x21', '\x3D'};  // That of RFC 6455 §5.7.

/// A masked frame; `first` is its first byte (0x81: final text). The length is in its shortest form.
inline std::string client_frame(int first, std::string_view payload, std::array<char, 4> key = kTestKey) {
    auto frame = std::string(frame_header(Opcode::text, payload.size()).view());
    frame[0] = static_cast<char>(first);
    frame[1] = static_cast<char>(frame[1] | 0x80);
    frame.append(key.data(), key.size());
    for (std::size_t index = 0; index < payload.size(); ++index) {
        frame.push_back(static_cast<char>(payload[index] ^ key[index % 4]));
    }
    return frame;
}

/// The payload of a close frame.
inline std::string close_payload(int code, std::string_view reason = {}) {
    return std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)}.append(reason);
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

/// All events of a stream that arrives in these pieces.
inline std::vector<std::string> events_of_pieces(const std::vector<std::string_view>& pieces, const WsRules& rules) {
    WsInput input;
    std::vector<std::string> events;
    for (const auto piece : pieces) {
        // Memory of exactly this size, so that the sanitizer sees every byte read too many.
        std::vector<char> memory(piece.begin(), piece.end());
        std::span<char> bytes(memory);
        for (auto event = input.next(bytes, rules); event.kind != WsEvent::Kind::none;
             event = input.next(bytes, rules)) {
            events.push_back(to_text(event));
        }
        EXPECT_TRUE(bytes.empty());
    }
    return events;
}

/// The same in pieces of one size.
inline std::vector<std::string> events_of(std::string_view stream, const WsRules& rules, std::size_t piece_bytes) {
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        pieces.push_back(stream.substr(at, piece_bytes));
    }
    return events_of_pieces(pieces, rules);
}

/// The events, which must not depend on how the bytes are cut: whole, byte by byte, in some sizes, and, when the stream
/// is short, in two at every place.
inline std::vector<std::string> events_however_cut(std::string_view stream, const WsRules& rules) {
    constexpr std::size_t kSplitBytesMax = 400;
    auto whole = events_of_pieces({stream}, rules);
    for (const std::size_t piece_bytes : {1, 2, 3, 7, 13, 1000}) {
        EXPECT_EQ(events_of(stream, rules, piece_bytes), whole) << "in pieces of " << piece_bytes;
    }
    for (std::size_t cut = 1; cut < stream.size() && stream.size() <= kSplitBytesMax; ++cut) {
        EXPECT_EQ(events_of_pieces({stream.substr(0, cut), stream.substr(cut)}, rules), whole) << "cut at " << cut;
    }
    return whole;
}

}  // namespace boardbus::web

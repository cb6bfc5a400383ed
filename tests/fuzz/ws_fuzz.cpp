// Any bytes as a client's WebSocket stream, as offers of permessage-deflate and as a message: the events never depend
// on how the bytes are cut, nothing that breaks a limit comes out, and what we write reads back as what it was.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "web/ws_codec.h"
#include "web/ws_deflate.h"
#include "web/ws_extensions.h"

namespace {

using namespace boardbus;
using namespace boardbus::web;

constexpr std::size_t kSettings = 7;  // Flags, limit, piece, key.

/// Unlike assert it stays in every build.
void require(bool claim) {
    if (!claim) {
        std::abort();
    }
}

struct Seen {
    WsEvent::Kind kind;
    std::uint16_t code;
    std::string payload;

    bool operator==(const Seen&) const = default;
};

std::vector<Seen> events_of(std::string_view stream, const WsRules& rules, std::size_t piece_bytes) {
    WsInput input;
    std::vector<Seen> events;
    for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
        const auto piece = stream.substr(at, piece_bytes);
        std::vector<char> memory(piece.begin(), piece.end());  // Of exactly this size, for the sanitizer.
        std::span<char> bytes(memory);
        for (auto event = input.next(bytes, rules); event.kind != WsEvent::Kind::none;
             event = input.next(bytes, rules)) {
            events.push_back({event.kind, event.code, std::string(event.payload)});
        }
        require(bytes.empty());
    }
    return events;
}

void check_events(const std::vector<Seen>& events, const WsRules& rules) {
    for (const auto& event : events) {
        const bool last = event.kind == WsEvent::Kind::close || event.kind == WsEvent::Kind::failure;
        require(!last || &event == &events.back());
        require(event.kind != WsEvent::Kind::text || event.payload.size() <= rules.message_bytes_max);
        require(event.kind == WsEvent::Kind::text || event.payload.size() <= 125);
        require(event.kind == WsEvent::Kind::ping || event.kind == WsEvent::Kind::pong || is_utf8(event.payload));
    }
}

void check_stream(std::string_view stream, const WsRules& rules, std::size_t piece_bytes) {
    const auto whole = events_of(stream, rules, std::max<std::size_t>(stream.size(), 1));
    check_events(whole, rules);
    require(events_of(stream, rules, piece_bytes) == whole);
    require(events_of(stream, rules, 1) == whole);
}

/// Our frame, with the bits and the key that make it a client's.
std::string masked(Opcode opcode, std::string_view payload, Compressed compressed, std::array<char, 4> key) {
    std::string frame(frame_header(opcode, payload.size(), compressed).view());
    frame[1] = static_cast<char>(frame[1] | 0x80);
    frame.append(key.data(), key.size());
    const auto header_bytes = frame.size();
    frame.append(payload);
    unmask(std::span(frame).subspan(header_bytes), key);
    return frame;
}

void check_message(std::string_view text, Inflater& inflater, Deflater& deflater, std::array<char, 4> key) {
    const std::string compressed(deflater.deflate(text));
    require(inflater.inflate(compressed, text.size()) == text);
    require(text.empty() || inflater.inflate(compressed, text.size() - 1) == std::unexpected(close_code::kTooBig));
    if (is_utf8(text)) {
        const WsRules rules{.message_bytes_max = text.size(), .inflater = &inflater};
        const std::vector<Seen> expected(2, {WsEvent::Kind::text, 0, std::string(text)});
        const auto frames =
            masked(Opcode::text, text, Compressed::no, key) + masked(Opcode::text, compressed, Compressed::yes, key);
        require(events_of(frames, rules, frames.size()) == expected);
        require(events_of(frames, rules, 5) == expected);
    }
}

void check_offers(std::string_view offers) {
    if (const auto agreed = agree_on_deflate(offers)) {
        require(agreed->server_window_bits >= 8 && agreed->server_window_bits <= 15);
        require(is_extension_list(agreed->response) && agree_on_deflate(agreed->response).has_value());
    }
    if (is_extension_list(offers)) {
        // A list goes on behind whatever is a list.
        require(agree_on_deflate(std::string(offers) + ", permessage-deflate").has_value());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < kSettings) {
        return 0;
    }
    static Inflater inflater;
    static Deflater deflater;
    const std::string_view stream(reinterpret_cast<const char*>(data) + kSettings, size - kSettings);
    const WsRules rules{.message_bytes_max = data[1] * std::size_t{16},
                        .inflater = (data[0] & 1) != 0 ? &inflater : nullptr};
    std::array<char, 4> key;
    std::copy_n(data + 3, key.size(), key.begin());
    check_stream(stream, rules, data[2] + std::size_t{1});
    check_message(stream, inflater, deflater, key);
    check_offers(stream);
    return 0;
}

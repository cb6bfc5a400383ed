// SPDX-License-Identifier: Apache-2.0
#include "hub/frame.h"

#include <algorithm>

#include "base/hex.h"

namespace boardbus::hub {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
    if (value.empty()) {
        return;
    }
    out += name;
    const std::size_t begin = out.size();
    out += value;
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
        [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    out += '\n';
}

/// Puts the frame of a chunk around what stands in `out` from `content` on, behind ten bytes left for it.
void close_chunk(std::string& out, std::size_t begin, std::size_t content) {
    const std::size_t size = out.size() - content;
    out += "\r\n";
    // The size stands before the event and is known after it: eight digits, leading zeros are allowed (RFC 9112 §7.1).
    write_hex(out.data() + begin, size, 8);
}

constexpr std::string_view kChunkHead = "00000000\r\n";

}  // namespace

void append_event(std::string& out, Form form, const WsEncoder& encoder, const EventText& event) {
    switch (form) {
        case Form::ws:
        case Form::ws_deflate:
            encoder.text(event.json, out);
            break;
        case Form::sse_chunked:
            append_sse(out, event.id, event.name, event.json);
            break;
        case Form::sse_plain: {
            std::string chunk;
            const SseSlices slices = append_sse(chunk, event.id, event.name, event.json);
            out.append(chunk, slices.plain.at, slices.plain.size);
            break;
        }
        case Form::none:
            break;
    }
}

void append_sse_lines(std::string& out, Form form, std::string_view lines) {
    const std::size_t begin = out.size();
    if (form == Form::sse_chunked) {
        out += kChunkHead;
    }
    const std::size_t content = out.size();
    out += lines;
    out += '\n';
    if (form == Form::sse_chunked) {
        close_chunk(out, begin, content);
    }
}

SseSlices append_sse(std::string& out, std::string_view id, std::string_view event, std::string_view data) {
    const std::size_t begin = out.size();
    out += kChunkHead;
    const std::size_t content = out.size();
    append_field(out, "id: ", id);
    append_field(out, "event: ", event);
    out += "data: ";
    out += data;
    out += "\n\n";
    const std::size_t size = out.size() - content;
    close_chunk(out, begin, content);
    return {.chunk = {begin, out.size() - begin}, .plain = {content, size}};
}

}  // namespace boardbus::hub

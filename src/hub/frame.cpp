// SPDX-License-Identifier: Apache-2.0
#include "hub/frame.h"

#include <algorithm>
#include <array>

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

}  // namespace

SseSlices append_sse(std::string& out, std::string_view id, std::string_view event, std::string_view data) {
    // The size stands before the event and is known after it: eight digits, leading zeros are allowed (RFC 9112 §7.1).
    const std::size_t begin = out.size();
    out += "00000000\r\n";
    const std::size_t content = out.size();
    append_field(out, "id: ", id);
    append_field(out, "event: ", event);
    out += "data: ";
    out += data;
    out += "\n\n";
    const std::size_t size = out.size() - content;
    out += "\r\n";
    for (std::size_t digit = 8, rest = size; digit > 0; rest /= 16) {
        out[begin + --digit] = "0123456789abcdef"[rest % 16];
    }
    return {.chunk = {begin, out.size() - begin}, .plain = {content, size}};
}

}  // namespace boardbus::hub

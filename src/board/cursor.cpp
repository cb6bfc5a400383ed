// SPDX-License-Identifier: Apache-2.0
#include "board/cursor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/hex.h"

namespace boardbus::board {
namespace {

bool is_epoch(std::string_view text) {
    const auto is_alphanumeric = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    return !text.empty() && text.size() <= kEpochBytesMax && std::all_of(text.begin(), text.end(), is_alphanumeric);
}

template <typename Number>
bool read_number(std::string_view text, Number& number, int base) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string epoch_text(std::uint64_t random) {
    return to_hex(random, 16);
}

std::uint32_t event_hash(std::string_view event_id) {
    std::uint32_t hash = 2166136261U;
    for (const char byte : event_id) {
        hash = (hash ^ static_cast<unsigned char>(byte)) * 16777619U;
    }
    return hash;
}

std::string event_hash_text(std::string_view event_id) {
    return to_hex(event_hash(event_id), 8);
}

std::string encode_cursor(const Cursor& cursor) {
    return cursor.position.epoch + '.' + std::to_string(cursor.position.pos) + '.' +
           std::to_string(cursor.position.seq) + '.' + to_hex(cursor.event_hash, 8);
}

std::optional<Cursor> parse_cursor(std::string_view text) {
    if (text.size() > kCursorBytesMax) {
        return {};
    }
    std::array<std::string_view, 4> parts;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto dot = text.find('.');
        if (dot == text.npos) {
            return {};
        }
        parts[i] = text.substr(0, dot);
        text.remove_prefix(dot + 1);
    }
    parts.back() = text;
    Cursor cursor;
    cursor.position.epoch = parts[0];
    const bool good = is_epoch(parts[0]) && read_number(parts[1], cursor.position.pos, 10) &&
                      read_number(parts[2], cursor.position.seq, 10) && parts[3].size() == 8 &&
                      read_number(parts[3], cursor.event_hash, 16);
    return good ? std::optional(std::move(cursor)) : std::nullopt;
}

}  // namespace boardbus::board

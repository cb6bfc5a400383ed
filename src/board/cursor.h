// Where an event stands in the history, and the text by which a client comes back to it.
//
// A history counts all its events (`pos`) and those of each board (`seq`), both without holes. Its `epoch` changes when Redis has lost
// its data. A failover may also roll a history back under the same epoch: then another event stands at the same place, which is why a
// cursor carries a hash of the event that it means. Pure; any thread. Spec: CONTRACT §7.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace boardbus::board {

/// Random, chosen by whoever finds no history.
inline constexpr std::size_t kEpochBytesMax = 32;
/// An epoch, two numbers of 20 digits, eight hex digits and the dots between them.
inline constexpr std::size_t kCursorBytesMax = kEpochBytesMax + 2 * 20 + 8 + 3;

struct Position {
    std::string epoch;      ///< Letters and digits, 1 to kEpochBytesMax.
    std::uint64_t pos = 0;  ///< From 1.
    std::uint64_t seq = 0;  ///< From 1.

    bool operator==(const Position&) const = default;
};

/// Opaque to clients: `<epoch>.<pos>.<seq>.<event hash>`.
struct Cursor {
    Position position;
    std::uint32_t event_hash = 0;

    bool operator==(const Cursor&) const = default;
};

/// The name of a history that begins: 16 hex digits of a random number.
std::string epoch_text(std::uint64_t random);

/// 32 bits of FNV-1a of the event's id. Eight hex digits in the text.
std::uint32_t event_hash(std::string_view event_id);
std::string event_hash_text(std::string_view event_id);

std::string encode_cursor(const Cursor& cursor);

/// Reads what a client brought back; nothing when it is not one of ours.
std::optional<Cursor> parse_cursor(std::string_view text);

}  // namespace boardbus::board

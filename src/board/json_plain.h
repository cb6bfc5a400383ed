// The parts of JSON strings that need no thought: no quote, no backslash, no control character.
//
// Nearly all text is plain, and both reading and writing strings get past it eight bytes at a time. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace boardbus::board::json {

/// The first byte of [at, end) that ends the plain part of a string (quote, backslash, control character), or a place
/// at most seven bytes before it. `high` collects the top bits of the bytes passed: non-zero when one was not ASCII.
inline const char* skip_plain_words(const char* at, const char* end, std::uint64_t& high) {
    constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
    constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
    for (; end - at >= 8; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, 8);
        if constexpr (std::endian::native == std::endian::big) {
            word = std::byteswap(word);
        }
        // The classic "has a zero byte" and "has a byte below n": the lowest bit found is exact, those above it may be
        // not.
        const std::uint64_t quote = word ^ (kOnes * '"');
        const std::uint64_t slash = word ^ (kOnes * '\\');
        const std::uint64_t found =
            (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word)) & kHighs;
        if (found != 0) {
            const int bits = std::countr_zero(found) & ~7;
            high |= word & kHighs & ((std::uint64_t{1} << bits) - 1);
            return at + bits / 8;
        }
        high |= word & kHighs;
    }
    return at;
}

}  // namespace boardbus::board::json

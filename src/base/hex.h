// Lower-case hexadecimal digits. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace boardbus {

/// Writes the lowest `digits` digits of `number`, the highest of them first, from `out` on. Returns the place behind them.
inline char* write_hex(char* out, std::uint64_t number, std::size_t digits) {
    for (std::size_t place = digits; place > 0; --place, number >>= 4U) {
        out[place - 1] = "0123456789abcdef"[number & 15U];
    }
    return out + digits;
}

inline std::string to_hex(std::uint64_t number, std::size_t digits) {
    std::string text(digits, '0');
    write_hex(text.data(), number, digits);
    return text;
}

/// Two digits for each byte.
inline std::string to_hex(std::span<const std::uint8_t> bytes) {
    std::string text(2 * bytes.size(), '0');
    char* out = text.data();
    for (const std::uint8_t byte : bytes) {
        out = write_hex(out, byte, 2);
    }
    return text;
}

}  // namespace boardbus

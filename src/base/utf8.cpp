// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <cstring>

namespace boardbus {

bool Utf8Validator::feed(std::string_view piece) {
    const char* at = piece.data();
    const char* const end = at + piece.size();
    while (at != end) {
        if (missing_ == 0) {
            // Eight ASCII bytes at a time: that is what most text is.
            for (std::uint64_t word = 0; end - at >= 8; at += 8) {
                std::memcpy(&word, at, 8);
                if ((word & 0x8080808080808080ULL) != 0) {
                    break;
                }
            }
            if (at == end) {
                return true;
            }
        }
        const auto byte = static_cast<std::uint8_t>(*at++);
        if (missing_ > 0) {
            if (byte < lowest_ || byte > highest_) {
                return false;
            }
            --missing_;
            lowest_ = 0x80;
            highest_ = 0xBF;
        } else if (byte >= 0xC2 && byte <= 0xDF) {
            missing_ = 1;
        } else if (byte >= 0xE0 && byte <= 0xEF) {
            missing_ = 2;
            lowest_ = byte == 0xE0 ? 0xA0 : 0x80;   // E0 80..9F would be overlong.
            highest_ = byte == 0xED ? 0x9F : 0xBF;  // ED A0..BF are the surrogates.
        } else if (byte >= 0xF0 && byte <= 0xF4) {
            missing_ = 3;
            lowest_ = byte == 0xF0 ? 0x90 : 0x80;   // F0 80..8F would be overlong.
            highest_ = byte == 0xF4 ? 0x8F : 0xBF;  // F4 90 is above U+10FFFF.
        } else if (byte >= 0x80) {
            return false;
        }
    }
    return true;
}

bool is_utf8(std::string_view text) {
    Utf8Validator validator;
    return validator.feed(text) && validator.complete();
}

}  // namespace boardbus

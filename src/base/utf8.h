// UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF. Spec: RFC 3629 §4.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace boardbus {

/// Checks a text that arrives in pieces and says no at the first byte that cannot be right.
class Utf8Validator {
  public:
    /// False as soon as no continuation can make the text valid.
    bool feed(std::string_view piece);

    /// True when the text so far does not stop inside a character.
    bool complete() const { return missing_ == 0; }

    void reset() { *this = Utf8Validator(); }

  private:
    std::uint8_t missing_ = 0;    // Continuation bytes still to come.
    std::uint8_t lowest_ = 0x80;  // Bounds of the next continuation byte.
    std::uint8_t highest_ = 0xBF;
};

bool is_utf8(std::string_view text);

}  // namespace boardbus

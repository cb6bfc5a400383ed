// JSON strings: from and to plain UTF-8. Pure; any thread. Spec: RFC 8259 §7.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace boardbus::board::json {

/// Appends what a string means, as UTF-8. False when it holds half of a surrogate pair, which no UTF-8 text can carry.
/// `quoted` is a valid JSON string, quotes included.
bool append_decoded(std::string& out, std::string_view quoted);

/// append_decoded() into a new string; nothing for half a surrogate pair.
std::optional<std::string> decode_string(std::string_view quoted);

/// Appends `text` (UTF-8) as a JSON string, quotes included. Escaped are quote, backslash, control characters, and U+2028
/// and U+2029, line ends to JavaScript.
void append_quoted(std::string& out, std::string_view text);

}  // namespace boardbus::board::json

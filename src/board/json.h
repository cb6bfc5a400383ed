// JSON without a tree: one pass that validates and hands out slices of the text.
//
// A payload has to leave as it came (numbers with all their digits, members in their order), which a tree of doubles
// and maps cannot do. So a value stays the bytes that were sent, and only names and the few strings that we look at are
// decoded. Strict: no NaN, no leading zeros, no raw control characters, no trailing bytes, UTF-8 only; nesting is
// counted, never recursed. Pure; any thread. Spec: RFC 8259. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace boardbus::board::json {

/// Objects and arrays inside each other, the outermost included. What is wrapped into an envelope gets one more.
inline constexpr int kDepthMax = 128;

enum class Type : std::uint8_t { object, array, string, number, boolean, null };

/// One valid value as it stands in the text, from its first byte to its last.
struct Value {
    Type type = Type::null;
    bool spaced = false;  ///< It holds white space outside strings.
    std::string_view text;
};

struct Member {
    std::string_view
        name;  ///< Decoded; a name with a lone surrogate stays as sent. Lives until the next call of next().
    Value value;
};

/// Walks over the members of one object, the only thing in the text.
///
/// Each call of next() has checked exactly what it hands out; only when it ended without a problem() the whole text is
/// good. Members come as sent, duplicates too (the last one counts). Lifetime: the text outlives the reader. Cost:
/// about 1 ns a byte, no allocation (except for names with escapes).
class ObjectReader {
  public:
    explicit ObjectReader(std::string_view text, int depth_max = kDepthMax);

    /// The next member; nothing at the end of the object or at the first problem.
    std::optional<Member> next();

    /// What is wrong, for people ("nesting deeper than 128 at byte 300"); empty while nothing is.
    std::string problem() const;

    /// True when no problem was met so far.
    bool good() const { return problem_ == nullptr; }

  private:
    const char* begin_;
    const char* at_;
    const char* end_;
    const char* problem_ = nullptr;
    int depth_max_;
    bool first_ = true;
    bool done_ = false;
    std::string name_;  // The decoded form of a name with escapes.
};

/// True when `text` is one JSON value with nothing but white space around it.
bool is_valid(std::string_view text, int depth_max = kDepthMax);

/// Appends the value without the white space outside its strings; all else stays byte for byte.
void append_compact(std::string& out, const Value& value);

/// Appends what a string means, as UTF-8. False when it holds half of a surrogate pair, which no UTF-8 text can carry.
/// `quoted` is a valid JSON string, quotes included.
bool append_decoded(std::string& out, std::string_view quoted);

/// append_decoded() into a new string; nothing for half a surrogate pair.
std::optional<std::string> decode_string(std::string_view quoted);

/// Appends `text` (UTF-8) as a JSON string, quotes included. U+2028 and U+2029, line ends to JavaScript, are escaped,
/// too.
void append_quoted(std::string& out, std::string_view text);

}  // namespace boardbus::board::json

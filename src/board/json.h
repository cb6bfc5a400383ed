// JSON without a tree: one pass that validates and hands out slices of the text.
//
// A payload has to leave as it came (numbers with all their digits, members in their order), which a tree of doubles
// and maps cannot do. So a value stays the bytes that were sent, and only names and the few strings that we look at are
// decoded. Strict: no NaN, no leading zeros, no raw control characters, no trailing bytes, UTF-8 only; nesting is
// counted, never recursed. Pure; any thread. Spec: RFC 8259.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "board/json_text.h"

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
    std::string_view name;  ///< Decoded; stays as sent with half a surrogate pair. Lives until the next call of next().
    Value value;
};

/// A place in a text. Each step checks what it passes; the first problem is kept, and everything after it fails.
class Scanner {
  public:
    explicit Scanner(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

    void skip_space();
    bool skip_string();

    /// Passes a value that may hold `depth` containers inside each other. False at a problem.
    bool skip_value(int depth, Value& value);

    /// Passes `byte` when it comes next.
    bool take(char byte);

    bool fail(const char* problem);

    bool at_end() const { return at_ == end_; }
    const char* at() const { return at_; }
    std::size_t offset() const { return static_cast<std::size_t>(at_ - begin_); }
    const char* problem() const { return problem_; }

  private:
    bool skip_container(int depth);
    bool skip_name();
    bool skip_scalar(Type& type);
    bool skip_escape();
    bool skip_number();
    bool skip_digits();
    bool skip_word(std::string_view word);
    bool fail_here(const char* expected);

    const char* begin_;
    const char* at_;
    const char* end_;
    const char* problem_ = nullptr;
    bool spaced_ = false;  // White space was passed since this was last set to false.
};

/// Walks over the members of one object, the only thing in the text.
///
/// Each call of next() has checked exactly what it hands out; only when it ended and good() holds, the whole text is.
/// Members come as sent, duplicates too (the last one counts). Lifetime: the text outlives the reader. Cost: about 1 ns
/// a byte, no allocation (except for names with escapes).
class ObjectReader {
  public:
    explicit ObjectReader(std::string_view text, int depth_max = kDepthMax) : scanner_(text), depth_max_(depth_max) {}

    /// The next member; nothing at the end of the object or at the first problem.
    std::optional<Member> next();

    bool good() const { return scanner_.problem() == nullptr; }

    /// What is wrong, for people ("nesting too deep at byte 300"); empty while nothing is.
    std::string problem() const;

  private:
    bool to_next_name();

    Scanner scanner_;
    int depth_max_;
    enum class State : std::uint8_t { before, inside, done } state_ = State::before;
    std::string name_;  // The decoded form of a name with escapes.
};

/// True when `text` is one JSON value with nothing but white space around it.
bool is_valid(std::string_view text, int depth_max = kDepthMax);

/// Appends the value without the white space outside its strings; all else stays byte for byte.
void append_compact(std::string& out, const Value& value);

}  // namespace boardbus::board::json

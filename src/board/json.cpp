// SPDX-License-Identifier: Apache-2.0
#include "board/json.h"

#include <array>
#include <cassert>
#include <cstring>

#include "base/utf8.h"
#include "board/json_plain.h"

namespace boardbus::board::json {
namespace {

constexpr const char* kTooDeep = "nesting too deep";
constexpr const char* kCutShort = "the text ends too early";

/// A container in one level of an envelope is the deepest that we ask for.
constexpr int kStackMax = kDepthMax + 8;

bool is_space(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

bool is_hex(char byte) {
    return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

/// The closing quote of the valid string that begins at `at`.
const char* closing_quote(const char* at, const char* end) {
    for (const char* from = at + 1;;) {
        const auto* quote = static_cast<const char*>(std::memchr(from, '"', static_cast<std::size_t>(end - from)));
        const char* slashes = quote;
        while (slashes[-1] == '\\') {
            --slashes;
        }
        if ((quote - slashes) % 2 == 0) {
            return quote;
        }
        from = quote + 1;
    }
}

}  // namespace

bool Scanner::fail(const char* problem) {
    if (problem_ == nullptr) {
        problem_ = problem;
    }
    return false;
}

bool Scanner::fail_here(const char* expected) {
    return fail(at_end() ? kCutShort : expected);
}

void Scanner::skip_space() {
    while (at_ != end_ && static_cast<unsigned char>(*at_) <= ' ' && is_space(*at_)) {
        ++at_;
        spaced_ = true;
    }
}

bool Scanner::take(char byte) {
    if (at_ == end_ || *at_ != byte) {
        return false;
    }
    ++at_;
    return true;
}

bool Scanner::skip_string() {
    if (!take('"')) {
        return fail_here("a string was expected");
    }
    const char* const body = at_;
    std::uint64_t high = 0;
    for (;;) {
        at_ = skip_plain_words(at_, end_, high);
        if (at_ == end_) {
            return fail(kCutShort);
        }
        const auto byte = static_cast<unsigned char>(*at_);
        if (byte == '"') {
            break;
        }
        if (byte < 0x20) {
            return fail("a control character stands raw in a string");
        }
        if (byte == '\\') {
            if (!skip_escape()) {
                return false;
            }
            continue;
        }
        high |= byte & 0x80U;
        ++at_;
    }
    if (high != 0 && !is_utf8({body, at_})) {
        return fail("invalid UTF-8 in the string before");
    }
    ++at_;
    return true;
}

bool Scanner::skip_escape() {
    ++at_;
    if (at_ == end_) {
        return fail(kCutShort);
    }
    const char letter = *at_;
    if (letter == 'u') {
        ++at_;
        for (int digit = 0; digit < 4; ++digit, ++at_) {
            if (at_ == end_ || !is_hex(*at_)) {
                return fail_here("four hex digits were expected");
            }
        }
        return true;
    }
    if (std::string_view("\"\\/bfnrt").find(letter) == std::string_view::npos) {
        return fail("unknown escape");
    }
    ++at_;
    return true;
}

bool Scanner::skip_digits() {
    if (at_ == end_ || !is_digit(*at_)) {
        return fail_here("a digit was expected");
    }
    while (at_ != end_ && is_digit(*at_)) {
        ++at_;
    }
    return true;
}

bool Scanner::skip_number() {
    take('-');
    if (take('0')) {
        if (at_ != end_ && is_digit(*at_)) {
            return fail("a number begins with 0");
        }
    } else if (!skip_digits()) {
        return false;
    }
    if (take('.') && !skip_digits()) {
        return false;
    }
    if (take('e') || take('E')) {
        if (!take('+')) {
            take('-');
        }
        return skip_digits();
    }
    return true;
}

bool Scanner::skip_word(std::string_view word) {
    if (!std::string_view(at_, end_).starts_with(word)) {
        return fail("a value was expected");
    }
    at_ += word.size();
    return true;
}

bool Scanner::skip_scalar(Type& type) {
    switch (at_ == end_ ? '\0' : *at_) {
        case '"':
            type = Type::string;
            return skip_string();
        case 't':
            type = Type::boolean;
            return skip_word("true");
        case 'f':
            type = Type::boolean;
            return skip_word("false");
        case 'n':
            type = Type::null;
            return skip_word("null");
        default:
            if (at_ != end_ && (*at_ == '-' || is_digit(*at_))) {
                type = Type::number;
                return skip_number();
            }
            return fail_here("a value was expected");
    }
}

bool Scanner::skip_name() {
    if (!skip_string()) {
        return false;
    }
    skip_space();
    if (!take(':')) {
        return fail_here("':' was expected");
    }
    skip_space();
    return true;
}

bool Scanner::skip_container(int depth) {
    assert(depth <= kStackMax);
    std::array<char, kStackMax> closers;  // Not initialised on purpose: closers[0, open) is what counts.
    int open = 0;
    for (;;) {
        // Here a value begins.
        if (at_ != end_ && (*at_ == '{' || *at_ == '[')) {
            if (open == depth) {
                return fail(kTooDeep);
            }
            const char closer = *at_ == '{' ? '}' : ']';
            closers[static_cast<std::size_t>(open++)] = closer;
            ++at_;
            skip_space();
            if (!take(closer)) {
                if (closer == '}' && !skip_name()) {
                    return false;
                }
                continue;
            }
            --open;
        } else if (Type type{}; !skip_scalar(type)) {
            return false;
        }
        // Here a value ended, and with it perhaps what it stands in.
        while (open > 0) {
            skip_space();
            const char closer = closers[static_cast<std::size_t>(open - 1)];
            if (take(closer)) {
                --open;
                continue;
            }
            if (!take(',')) {
                return fail_here("',' or the end of the container was expected");
            }
            skip_space();
            if (closer == '}' && !skip_name()) {
                return false;
            }
            break;
        }
        if (open == 0) {
            return true;
        }
    }
}

bool Scanner::skip_value(int depth, Value& value) {
    const char* const first = at_;
    spaced_ = false;
    bool passed = false;
    if (at_ != end_ && (*at_ == '{' || *at_ == '[')) {
        value.type = *at_ == '{' ? Type::object : Type::array;
        passed = skip_container(depth);
    } else {
        passed = skip_scalar(value.type);
    }
    value.text = {first, at_};
    value.spaced = spaced_;
    return passed;
}

bool ObjectReader::to_next_name() {
    scanner_.skip_space();
    if (state_ == State::before) {
        if (!scanner_.take('{')) {
            return scanner_.fail("not a JSON object");
        }
        scanner_.skip_space();
    }
    if (scanner_.take('}')) {
        state_ = State::done;
        scanner_.skip_space();
        return scanner_.at_end() ? false : scanner_.fail("something follows the object");
    }
    if (state_ == State::inside) {
        if (!scanner_.take(',')) {
            return scanner_.fail(scanner_.at_end() ? kCutShort : "',' or '}' was expected");
        }
        scanner_.skip_space();
    }
    state_ = State::inside;
    return true;
}

std::optional<Member> ObjectReader::next() {
    if (state_ == State::done || !good() || !to_next_name()) {
        return std::nullopt;
    }
    const char* const quoted = scanner_.at();
    if (!scanner_.skip_string()) {
        return std::nullopt;
    }
    Member member{.name = {quoted + 1, scanner_.at() - 1}, .value = {}};
    scanner_.skip_space();
    if (!scanner_.take(':')) {
        scanner_.fail(scanner_.at_end() ? kCutShort : "':' was expected");
        return std::nullopt;
    }
    scanner_.skip_space();
    if (member.name.find('\\') != std::string_view::npos) {
        name_.clear();
        if (append_decoded(name_, {member.name.data() - 1, member.name.size() + 2})) {
            member.name = name_;
        }
    }
    if (!scanner_.skip_value(depth_max_ - 1, member.value)) {
        return std::nullopt;
    }
    return member;
}

std::string ObjectReader::problem() const {
    return good() ? "" : std::string(scanner_.problem()) + " at byte " + std::to_string(scanner_.offset());
}

bool is_valid(std::string_view text, int depth_max) {
    Scanner scanner(text);
    Value value;
    scanner.skip_space();
    if (!scanner.skip_value(depth_max, value)) {
        return false;
    }
    scanner.skip_space();
    return scanner.at_end();
}

void append_compact(std::string& out, const Value& value) {
    if (!value.spaced) {
        out += value.text;
        return;
    }
    const char* const end = value.text.data() + value.text.size();
    const char* run = value.text.data();
    for (const char* at = run; at != end;) {
        if (*at == '"') {
            at = closing_quote(at, end) + 1;
        } else if (is_space(*at)) {
            out.append(run, at);
            while (at != end && is_space(*at)) {
                ++at;
            }
            run = at;
        } else {
            ++at;
        }
        if (at == end) {
            out.append(run, end);
        }
    }
}

}  // namespace boardbus::board::json

// SPDX-License-Identifier: Apache-2.0
#include "board/json_text.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "board/json_plain.h"

namespace boardbus::board::json {
namespace {

/// Four hex digits, known to be there.
std::uint32_t hex_unit(const char* at) {
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) {
        const auto byte = static_cast<std::uint32_t>(static_cast<unsigned char>(at[i]));
        unit = unit * 16 + (byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10);
    }
    return unit;
}

void append_utf8(std::string& out, std::uint32_t point) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xC0 | (point >> 6));
        tail(0);
    } else if (point < 0x10000) {
        out += static_cast<char>(0xE0 | (point >> 12));
        tail(6);
        tail(0);
    } else {
        out += static_cast<char>(0xF0 | (point >> 18));
        tail(12);
        tail(6);
        tail(0);
    }
}

/// Appends the character of the \u escape at `at`, and of its second half. The place behind it, or nullptr for half a
/// pair.
const char* append_unicode_escape(std::string& out, const char* at, const char* end) {
    const std::uint32_t unit = hex_unit(at + 2);
    at += 6;
    if (unit < 0xD800 || unit > 0xDFFF) {
        append_utf8(out, unit);
        return at;
    }
    if (unit > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return nullptr;
    }
    const std::uint32_t low = hex_unit(at + 2);
    if (low < 0xDC00 || low > 0xDFFF) {
        return nullptr;
    }
    append_utf8(out, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
    return at + 6;
}

char short_escape(char letter) {
    switch (letter) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return letter;  // Quote, backslash, slash.
    }
}

/// True for bytes that append_quoted() must look at: 0xE2 begins U+2028 and U+2029.
constexpr std::array<bool, 256> kLookAt = [] {
    std::array<bool, 256> look{};
    for (std::size_t byte = 0; byte < 0x20; ++byte) {
        look[byte] = true;
    }
    look['"'] = look['\\'] = look[0xE2] = true;
    return look;
}();

/// How many bytes at the beginning of `text` can stand in a JSON string as they are; there may be more.
std::size_t plain_prefix(std::string_view text) {
    std::uint64_t high = 0;
    const char* const end = skip_plain_words(text.data(), text.data() + text.size(), high);
    return high == 0 ? static_cast<std::size_t>(end - text.data()) : 0;
}

void append_control(std::string& out, char byte) {
    constexpr std::string_view kLetters = "btn?fr";  // 0x08 to 0x0D, of which 0x0B has no short form.
    if (byte >= 0x08 && byte <= 0x0D && byte != 0x0B) {
        out += '\\';
        out += kLetters[static_cast<std::size_t>(byte - 0x08)];
        return;
    }
    out += byte < 0x10 ? "\\u000" : "\\u001";
    out += "0123456789abcdef"[byte & 0x0F];
}

}  // namespace

bool append_decoded(std::string& out, std::string_view quoted) {
    const char* at = quoted.data() + 1;
    const char* const end = quoted.data() + quoted.size() - 1;
    while (at != end) {
        const auto* slash = static_cast<const char*>(std::memchr(at, '\\', static_cast<std::size_t>(end - at)));
        if (slash == nullptr) {
            out.append(at, end);
            return true;
        }
        out.append(at, slash);
        if (slash[1] == 'u') {
            at = append_unicode_escape(out, slash, end);
            if (at == nullptr) {
                return false;
            }
        } else {
            out += short_escape(slash[1]);
            at = slash + 2;
        }
    }
    return true;
}

std::optional<std::string> decode_string(std::string_view quoted) {
    std::string text;
    return append_decoded(text, quoted) ? std::optional(std::move(text)) : std::nullopt;
}

void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    std::size_t run = 0;
    for (std::size_t at = plain_prefix(text); at < text.size(); ++at) {
        if (!kLookAt[static_cast<unsigned char>(text[at])]) {
            continue;
        }
        const std::string_view rest = text.substr(at);
        const bool line_end = rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9");
        if (text[at] == '\xE2' && !line_end) {
            continue;
        }
        out += text.substr(run, at - run);
        if (line_end) {
            out += rest[2] == '\xA8' ? "\\u2028" : "\\u2029";
            at += 2;
        } else if (text[at] == '"' || text[at] == '\\') {
            out += '\\';
            out += text[at];
        } else {
            append_control(out, text[at]);
        }
        run = at + 1;
    }
    out += text.substr(run);
    out += '"';
}

}  // namespace boardbus::board::json

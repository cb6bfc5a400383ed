// SPDX-License-Identifier: Apache-2.0
#include "telemetry/log_line.h"

#include <spdlog/fmt/fmt.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/utf8.h"

namespace boardbus::telemetry {
namespace {

struct Character {
    std::string_view bytes;
    std::uint32_t code = 0;
    bool valid = false;  ///< False: one byte that begins no UTF-8 character.
};

Character first_character(std::string_view text) {
    const auto lead = static_cast<std::uint8_t>(text[0]);
    if (lead < 0x80) {
        return {text.substr(0, 1), lead, true};
    }
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    const auto bytes = text.substr(0, length);
    if (bytes.size() < length || !is_utf8(bytes)) {
        return {text.substr(0, 1), lead, false};
    }
    std::uint32_t code = lead & (0x7FU >> length);
    for (const char c : bytes.substr(1)) {
        code = (code << 6) | (static_cast<std::uint8_t>(c) & 0x3FU);
    }
    return {bytes, code, true};
}

/// Controls (C0, DEL, C1: U+009B begins a terminal sequence), line separators, and what turns the direction of writing.
bool is_unsafe(std::uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

void append_escaped(std::string& out, std::string_view text, LogFormat format) {
    while (!text.empty()) {
        const auto character = first_character(text);
        text.remove_prefix(character.bytes.size());
        if (!character.valid) {
            out += format == LogFormat::json ? "\\ufffd" : fmt::format("\\x{:02x}", character.code);
        } else if (character.code == '"' || character.code == '\\') {
            out.append({'\\', static_cast<char>(character.code)});
        } else if (character.code == '\n') {
            out += "\\n";
        } else if (character.code == '\r') {
            out += "\\r";
        } else if (character.code == '\t') {
            out += "\\t";
        } else if (is_unsafe(character.code)) {
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", character.code);
        } else {
            out += character.bytes;
        }
    }
}

/// A word needs no quotes: printable ASCII without space, quote, equals sign or backslash.
bool is_word(std::string_view text) {
    for (const char c : text) {
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return !text.empty();
}

void append_value(std::string& out, const Field& field, LogFormat format) {
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        const bool quoted = format == LogFormat::json || !is_word(*text);
        out += quoted ? "\"" : "";
        append_escaped(out, *text, format);
        out += quoted ? "\"" : "";
    } else if (const auto* number = std::get_if<double>(&field.value)) {
        // JSON has no NaN and no infinity.
        out += std::isfinite(*number) ? fmt::to_string(*number) : "null";
    } else if (const auto* integer = std::get_if<std::int64_t>(&field.value)) {
        out += fmt::to_string(*integer);
    } else {
        out += std::get<bool>(field.value) ? "true" : "false";
    }
}

/// The JSON name and the text name, padded to five columns.
std::pair<std::string_view, std::string_view> level_names(Level level) {
    switch (level) {
        case Level::debug:
            return {"debug", "DEBUG"};
        case Level::info:
            return {"info", "INFO "};
        case Level::warn:
            return {"warn", "WARN "};
        case Level::error:
            return {"error", "ERROR"};
    }
    return {"error", "ERROR"};
}

}  // namespace

std::string log_line(LogFormat format, WallTime time, Level level, std::string_view event,
                     std::initializer_list<Field> fields) {
    const auto [json_level, text_level] = level_names(level);
    const std::string when = iso_8601(time).substr(0, 23) + "Z";  // Milliseconds are enough for people.
    std::string line;
    if (format == LogFormat::json) {
        line = fmt::format(R"({{"time":"{}","level":"{}","event":")", when, json_level);
        append_escaped(line, event, format);
        line += '"';
        for (const auto& field : fields) {
            fmt::format_to(std::back_inserter(line), ",\"{}\":", field.name);
            append_value(line, field, format);
        }
        line += '}';
        return line;
    }
    line = fmt::format("{} {} ", when, text_level);
    append_escaped(line, event, format);
    for (const auto& field : fields) {
        fmt::format_to(std::back_inserter(line), " {}=", field.name);
        append_value(line, field, format);
    }
    return line;
}

void append_json_escaped(std::string& out, std::string_view text) {
    append_escaped(out, text, LogFormat::json);
}

}  // namespace boardbus::telemetry

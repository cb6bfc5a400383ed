// SPDX-License-Identifier: Apache-2.0
#include "cli/options_table_rules.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "board/json.h"

namespace boardbus::cli {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

std::optional<std::vector<std::string>> parse_json_array(std::string_view text) {
    std::vector<std::string> items;
    board::json::Scanner scanner(text);
    scanner.skip_space();
    if (!scanner.take('[')) {
        return std::nullopt;
    }
    scanner.skip_space();
    if (!scanner.at_end() && *scanner.at() == ']') {
        return items;
    }
    do {
        board::json::Value value;
        scanner.skip_space();
        if (!scanner.skip_value(1, value) || value.type != board::json::Type::string) {
            return std::nullopt;
        }
        const auto item = board::json::decode_string(value.text);
        if (!item) {
            return std::nullopt;
        }
        if (!trimmed(*item).empty()) {
            items.emplace_back(trimmed(*item));
        }
        scanner.skip_space();
    } while (!scanner.at_end() && *scanner.at() == ',' && scanner.take(','));
    return items;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(kSpaces);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<std::chrono::milliseconds> parse_decimal_seconds(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    // 1e12 s is beyond every limit and still far inside 64 bits of milliseconds; it also refuses inf and nan.
    if (error != std::errc() || end != text.data() + text.size() || !(std::abs(value) < 1e12)) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(std::llround(value * 1000));
}

std::optional<bool> parse_boolean(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    for (const auto* word : {"true", "1", "yes", "on"}) {
        if (lower == word) {
            return true;
        }
    }
    for (const auto* word : {"false", "0", "no", "off"}) {
        if (lower == word) {
            return false;
        }
    }
    return std::nullopt;
}

std::optional<std::vector<std::string>> parse_list(std::string_view text) {
    text = trimmed(text);
    if (text.starts_with('[')) {
        return board::json::is_valid(text) ? parse_json_array(text) : std::nullopt;
    }
    std::vector<std::string> items;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        if (const auto item = trimmed(text.substr(0, comma)); !item.empty()) {
            items.emplace_back(item);
        }
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return items;
}

bool is_header_value(std::string_view text) {
    return text.size() <= 4096 && trimmed(text) == text &&
           std::ranges::all_of(text, [](unsigned char c) { return (c >= 0x20 && c < 0x7F) || c == '\t'; });
}

bool is_header_name(std::string_view text) {
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return !text.empty() && text.size() <= 256 && std::ranges::all_of(text, [&](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || kMarks.contains(c);
    });
}

bool is_plain_text(std::string_view text) {
    return is_utf8(text) && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

}  // namespace boardbus::cli

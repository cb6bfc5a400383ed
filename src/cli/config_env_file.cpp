// SPDX-License-Identifier: Apache-2.0
#include "cli/config_env_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "cli/options_table_rules.h"

namespace boardbus::cli {
namespace {

constexpr std::size_t kBytesMost = 1 << 20;

bool is_name(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    });
}

/// A comment or nothing is all that may follow a closing quote.
bool is_blank_or_comment(std::string_view text) {
    text = trimmed(text);
    return text.empty() || text.starts_with('#');
}

char unescaped(char c) {
    switch (c) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return c;
    }
}

/// Nothing when the quotes do not end on this line or something follows them.
std::optional<std::string> quoted_value(std::string_view text) {
    const char quote = text.front();
    std::string value;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == quote) {
            return is_blank_or_comment(text.substr(i + 1)) ? std::optional(value) : std::nullopt;
        }
        if (quote == '"' && text[i] == '\\' && i + 1 < text.size() &&
            std::string_view("nrt\"\\$").contains(text[i + 1])) {
            value += unescaped(text[++i]);
        } else {
            value += text[i];
        }
    }
    return std::nullopt;
}

std::string plain_value(std::string_view text) {
    if (text.starts_with('#')) {
        return {};
    }
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '#' && (text[i - 1] == ' ' || text[i - 1] == '\t')) {
            text = text.substr(0, i);
        }
    }
    return std::string(trimmed(text));
}

/// Null when the line is good, else what is wrong with it.
const char* take_line(std::string_view line, Variables& variables) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) {
        return nullptr;
    }
    if (line.starts_with("export ") || line.starts_with("export\t")) {
        line = trimmed(line.substr(7));
    }
    const auto equals = line.find('=');
    const auto name = trimmed(line.substr(0, equals));
    if (equals == std::string_view::npos || !is_name(name)) {
        return "NAME=value expected";
    }
    const auto text = trimmed(line.substr(equals + 1));
    if (text.starts_with('"') || text.starts_with('\'')) {
        auto value = quoted_value(text);
        if (!value) {
            return "the quotes must end on the same line, and only a comment may follow";
        }
        variables[std::string(name)] = std::move(*value);
    } else {
        variables[std::string(name)] = plain_value(text);
    }
    return nullptr;
}

}  // namespace

Result<Variables> parse_env_file(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) {
        text.remove_prefix(3);  // The byte order mark that some editors write.
    }
    Variables variables;
    for (int number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        if (const char* problem = take_line(text.substr(0, end), variables)) {
            return fail(Errc::invalid, "line " + std::to_string(number) + ": " + problem);
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return variables;
}

Result<Variables> read_env_file(const std::string& path) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text(kBytesMost + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || (file.gcount() == 0 && !file.eof())) {
        return fail(Errc::unavailable, path + ": " + std::strerror(errno));
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > kBytesMost) {
        return fail(Errc::invalid, path + ": longer than 1 MiB");
    }
    auto variables = parse_env_file(text);
    if (!variables) {
        return fail(Errc::invalid, path + " " + variables.error().detail);
    }
    return variables;
}

}  // namespace boardbus::cli

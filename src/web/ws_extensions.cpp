// SPDX-License-Identifier: Apache-2.0
#include "web/ws_extensions.h"

#include <algorithm>

namespace boardbus::web {
namespace {

/// Spec: RFC 9110 §5.6.2.
bool is_token_char(char letter) {
    constexpr std::string_view kSigns = "!#$%&'*+-.^_`|~";
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           kSigns.find(letter) != std::string_view::npos;
}

}  // namespace

std::optional<std::string_view> ExtensionReader::next_extension() {
    while (in_extension_ && next_parameter()) {
    }
    while (take(',')) {
    }
    if (!good_ || rest_.empty()) {
        return std::nullopt;
    }
    const auto name = token();
    if (name.empty()) {
        return broken();
    }
    in_extension_ = true;
    return name;
}

std::optional<ExtensionParameter> ExtensionReader::next_parameter() {
    if (!good_ || !in_extension_) {
        return std::nullopt;
    }
    if (!take(';')) {
        in_extension_ = false;
        if (!rest_.empty() && rest_.front() != ',') {
            return broken();
        }
        return std::nullopt;
    }
    ExtensionParameter parameter{.name = token()};
    if (parameter.name.empty()) {
        return broken();
    }
    if (take('=')) {
        parameter.value = take('"') ? quoted() : std::string(token());
        // What is quoted must itself be a token: so no value has a comma, and none is empty.
        if (!parameter.value || parameter.value->empty() || !std::ranges::all_of(*parameter.value, is_token_char)) {
            return broken();
        }
    }
    return parameter;
}

void ExtensionReader::skip_space() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
}

bool ExtensionReader::take(char wanted) {
    skip_space();
    if (rest_.empty() || rest_.front() != wanted) {
        return false;
    }
    rest_.remove_prefix(1);
    return true;
}

/// Empty when there is none.
std::string_view ExtensionReader::token() {
    skip_space();
    const auto end = std::ranges::find_if_not(rest_, is_token_char);
    const auto found = rest_.substr(0, static_cast<std::size_t>(end - rest_.begin()));
    rest_.remove_prefix(found.size());
    return found;
}

/// The text of a quoted string whose first quote has been taken; nothing when it does not end.
std::optional<std::string> ExtensionReader::quoted() {
    std::string text;
    for (std::size_t at = 0; at < rest_.size(); ++at) {
        if (rest_[at] == '"') {
            rest_.remove_prefix(at + 1);
            return text;
        }
        at += rest_[at] == '\\' ? 1 : 0;
        if (at == rest_.size()) {
            break;
        }
        text.push_back(rest_[at]);
    }
    return std::nullopt;
}

std::nullopt_t ExtensionReader::broken() {
    good_ = false;
    rest_ = {};
    return std::nullopt;
}

bool is_extension_list(std::string_view text) {
    ExtensionReader reader(text);
    while (reader.next_extension()) {
    }
    return reader.good();
}

}  // namespace boardbus::web

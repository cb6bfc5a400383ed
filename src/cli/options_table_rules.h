// What an option's text may be: each rule checks a text, says what it allows, and puts the value into its field.
//
// A field is named by the path to it: at(&Config::web, &web::Options::port). A blank text gives the field's empty value; whether a
// blank is allowed at all is the row's business (`unset_means`). Pure; used at start only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cli/options_table.h"

namespace boardbus::cli {

/// The field at the end of a path of member pointers, as a function.
template <typename... Members>
auto at(Members... members) {
    return [members...](Config& config) -> auto& { return (config.*....*members); };
}

inline const Complaint kFine;             ///< Nothing to complain about.
inline const Complaint kNotAllowed = "";  ///< It is not what the rule allows.

std::string_view trimmed(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);
/// `1.5` as 1500 ms, rounded to the millisecond.
std::optional<std::chrono::milliseconds> parse_decimal_seconds(std::string_view text);
std::optional<bool> parse_boolean(std::string_view text);
/// Comma-separated or a JSON array of strings; items are trimmed, empty ones dropped.
std::optional<std::vector<std::string>> parse_list(std::string_view text);

bool is_header_value(std::string_view text);
bool is_header_name(std::string_view text);
/// No control characters, valid UTF-8.
bool is_plain_text(std::string_view text);

template <typename Place>
Rule integer(Place place, std::int64_t least, std::int64_t most) {
    std::string allowed = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
    return {std::move(allowed), [place, least, most](Config& config, std::string_view text) -> Complaint {
                using Field = std::remove_reference_t<decltype(place(config))>;
                const auto value = text.empty() ? std::optional<std::int64_t>(0) : parse_integer(trimmed(text));
                if (!value || (!text.empty() && (*value < least || *value > most))) {
                    return kNotAllowed;
                }
                if constexpr (std::integral<Field>) {
                    place(config) = static_cast<Field>(*value);
                } else {
                    place(config) = Field(*value);  // A duration in its own unit.
                }
                return kFine;
            }};
}

template <typename Place>
Rule decimal_seconds(Place place, std::chrono::milliseconds least, std::chrono::milliseconds most) {
    std::string allowed = "a number of seconds from " +
                          std::to_string(static_cast<double>(least.count()) / 1000).substr(0, 5) + " to " +
                          std::to_string(most.count() / 1000);
    return {std::move(allowed), [place, least, most](Config& config, std::string_view text) -> Complaint {
                const auto value = parse_decimal_seconds(trimmed(text));
                if (!value || *value < least || *value > most) {
                    return kNotAllowed;
                }
                place(config) = *value;
                return kFine;
            }};
}

template <typename Place>
Rule boolean(Place place) {
    return {"true or false (1/0, yes/no, on/off)", [place](Config& config, std::string_view text) -> Complaint {
                const auto value = parse_boolean(trimmed(text));
                if (!value) {
                    return kNotAllowed;
                }
                place(config) = *value;
                return kFine;
            }};
}

template <typename Place, typename Value>
Rule choice(Place place, std::vector<std::pair<std::string_view, Value>> values) {
    std::string allowed;
    for (const auto& [name, value] : values) {
        allowed += allowed.empty() ? "" : ", ";
        allowed += name;
    }
    return {"one of " + allowed,
            [place, values = std::move(values)](Config& config, std::string_view text) -> Complaint {
                if (text.empty()) {
                    place(config) = {};
                    return kFine;
                }
                for (const auto& [name, value] : values) {
                    if (name == trimmed(text)) {
                        place(config) = value;
                        return kFine;
                    }
                }
                return kNotAllowed;
            }};
}

/// One text for two fields.
inline Rule both(Rule first, Rule second) {
    return {first.allowed,
            [set = std::move(first.set), set_too = std::move(second.set)](Config& config, std::string_view text) {
                Complaint complaint = set(config, text);
                return complaint ? complaint : set_too(config, text);
            }};
}

/// Any text that passes `check`.
template <typename Place>
Rule text(Place place, std::string allowed, bool (*check)(std::string_view)) {
    return {std::move(allowed), [place, check](Config& config, std::string_view value) -> Complaint {
                if (!value.empty() && !check(value)) {
                    return kNotAllowed;
                }
                place(config) = std::string(value);
                return kFine;
            }};
}

/// A list whose items all pass `parse`, which makes the field's items or complains.
template <typename Place, typename Parse>
Rule list(Place place, std::string allowed, Parse parse) {
    return {std::move(allowed) + "; comma-separated or a JSON array",
            [place, parse](Config& config, std::string_view value) -> Complaint {
                const auto items = parse_list(value);
                if (!items) {
                    return "it is no JSON array of strings";
                }
                auto& field = place(config);
                field.clear();
                for (const auto& item : *items) {
                    if (Complaint complaint = parse(item, field)) {
                        return complaint;
                    }
                }
                return kFine;
            }};
}

}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "board/message.h"

#include <array>

#include "board/json.h"

namespace boardbus::board {
namespace {

constexpr ValidationError kActionMissing{"action", "Field required", "missing"};
constexpr ValidationError kActionEmpty{"action", "String should have at least 1 character", "string_too_short"};
constexpr ValidationError kActionReserved{"action", "Value error, actions that begin with 'boardbus.' are reserved",
                                          "value_error"};
constexpr ValidationError kPayloadNoObject{"payload", "Input should be a valid dictionary", "dict_type"};
constexpr ValidationError kCorrelationIdTooLong{"correlation_id", "String should have at most 256 characters",
                                                "string_too_long"};

constexpr std::string_view kNoString = "Input should be a valid string";
constexpr std::string_view kNoUnicode = "Input should be a valid string, unable to parse raw data as a unicode string";

/// The members that count, as they stand in the text; of duplicates the last.
struct Members {
    std::optional<json::Value> action;
    std::optional<json::Value> payload;
    std::optional<json::Value> user;
    std::optional<json::Value> message;
    std::optional<json::Value> correlation_id;

    void keep(const json::Member& member) {
        if (member.name == "action") {
            action = member.value;
        } else if (member.name == "payload") {
            payload = member.value;
        } else if (member.name == "user") {
            user = member.value;
        } else if (member.name == "message") {
            message = member.value;
        } else if (member.name == "correlation_id") {
            correlation_id = member.value;
        }
    }
};

/// The text of a member that has to be a string; otherwise says so in `errors`.
std::optional<std::string> read_text(const json::Value& value, std::string_view loc,
                                     std::vector<ValidationError>& errors) {
    if (value.type != json::Type::string) {
        errors.push_back({loc, kNoString, "string_type"});
        return std::nullopt;
    }
    auto text = json::decode_string(value.text);
    if (!text) {
        errors.push_back({loc, kNoUnicode, "string_unicode"});
    }
    return text;
}

/// The same for a member that may be missing or null.
std::optional<std::string> read_optional_text(const std::optional<json::Value>& value, std::string_view loc,
                                              std::vector<ValidationError>& errors) {
    if (!value || value->type == json::Type::null) {
        return std::nullopt;
    }
    return read_text(*value, loc, errors);
}

/// The bytes of the white space character that `text` begins with, 0 when it begins with another. What Python's
/// str.strip() takes.
std::size_t leading_space(std::string_view text) {
    if (text.empty()) {
        return 0;
    }
    const auto byte = static_cast<unsigned char>(text[0]);
    if (byte < 0x80) {
        return byte == ' ' || (byte >= 0x09 && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x1F) ? 1 : 0;
    }
    // U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
    static constexpr std::array<std::string_view, 19> kWide{
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83",
        "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A",
        "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
    for (const std::string_view space : kWide) {
        if (text.starts_with(space)) {
            return space.size();
        }
    }
    return 0;
}

/// How many bytes of UTF-8 the last character of `text` has.
std::size_t last_character(std::string_view text) {
    std::size_t length = 1;
    while (length < text.size() && (static_cast<unsigned char>(text[text.size() - length]) & 0xC0) == 0x80) {
        ++length;
    }
    return length;
}

std::string_view strip(std::string_view text) {
    while (const std::size_t space = leading_space(text)) {
        text.remove_prefix(space);
    }
    while (!text.empty()) {
        const std::size_t length = last_character(text);
        if (leading_space(text.substr(text.size() - length)) == 0) {
            break;
        }
        text.remove_suffix(length);
    }
    return text;
}

bool has_member(std::string_view object, std::string_view name) {
    json::ObjectReader reader(object);
    while (const auto member = reader.next()) {
        if (member->name == name) {
            return true;
        }
    }
    return false;
}

/// Readers look for the text in the payload, so it goes there when the sender left it outside.
void add_message(std::string& payload, std::string_view message) {
    if (has_member(payload, "message")) {
        return;
    }
    payload.pop_back();
    payload += payload.size() > 1 ? ",\"message\":" : "\"message\":";
    json::append_quoted(payload, message);
    payload += '}';
}

BoardMessage read_members(const Members& members, std::vector<ValidationError>& errors) {
    BoardMessage result;
    if (!members.action) {
        errors.push_back(kActionMissing);
    } else if (auto action = read_text(*members.action, "action", errors)) {
        if (action->empty()) {
            errors.push_back(kActionEmpty);
        } else if (action->starts_with(kReservedActions)) {
            errors.push_back(kActionReserved);
        }
        result.action = std::move(*action);
    }
    if (members.payload && members.payload->type != json::Type::object) {
        errors.push_back(kPayloadNoObject);
    } else if (members.payload) {
        result.payload.clear();
        json::append_compact(result.payload, *members.payload);
    }
    if (members.user) {
        const std::string user = read_text(*members.user, "user", errors).value_or("");
        if (const std::string_view name = strip(user); !name.empty()) {
            result.user = name;
        }
    }
    result.message = read_optional_text(members.message, "message", errors);
    result.correlation_id = read_optional_text(members.correlation_id, "correlation_id", errors);
    if (result.correlation_id && result.correlation_id->empty()) {
        result.correlation_id.reset();
    } else if (result.correlation_id && result.correlation_id->size() > kCorrelationIdBytesMax) {
        errors.push_back(kCorrelationIdTooLong);
    }
    return result;
}

}  // namespace

std::expected<BoardMessage, Rejection> parse_board_message(std::string_view text) {
    Members members;
    json::ObjectReader reader(text);
    while (const auto member = reader.next()) {
        members.keep(*member);
    }
    if (!reader.good()) {
        return std::unexpected(Rejection{.errors = {}, .problem = reader.problem()});
    }
    Rejection rejection;
    BoardMessage result = read_members(members, rejection.errors);
    if (!rejection.errors.empty()) {
        for (const ValidationError& error : rejection.errors) {
            rejection.problem += rejection.problem.empty() ? "" : "; ";
            rejection.problem.append(error.loc).append(": ").append(error.msg);
        }
        return std::unexpected(std::move(rejection));
    }
    if (result.message && !result.message->empty()) {
        add_message(result.payload, *result.message);
    }
    return result;
}

std::string detail_json(const Rejection& rejection) {
    if (rejection.errors.empty()) {
        return "\"Messages must be valid JSON objects.\"";
    }
    std::string list = "[";
    for (const ValidationError& error : rejection.errors) {
        list += list.size() > 1 ? ",{\"loc\":[" : "{\"loc\":[";
        json::append_quoted(list, error.loc);
        list += "],\"msg\":";
        json::append_quoted(list, error.msg);
        list += ",\"type\":";
        json::append_quoted(list, error.type);
        list += '}';
    }
    list += ']';
    return list;
}

std::string error_frame(const Rejection& rejection) {
    std::string frame = "{\"kind\":\"error\",\"reason\":";
    json::append_quoted(frame, rejection.reason());
    return frame + ",\"detail\":" + detail_json(rejection) + '}';
}

std::string error_frame(std::string_view reason, std::string_view detail) {
    std::string frame = "{\"kind\":\"error\",\"reason\":";
    json::append_quoted(frame, reason);
    frame += ",\"detail\":";
    json::append_quoted(frame, detail);
    frame += '}';
    return frame;
}

}  // namespace boardbus::board

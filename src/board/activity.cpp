// SPDX-License-Identifier: Apache-2.0
#include "board/activity.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>

#include "base/digest.h"
#include "base/hex.h"
#include "board/json.h"

namespace boardbus::board {
namespace {

struct Members {
    std::optional<json::Value> id;
    std::optional<json::Value> board;
    std::optional<json::Value> action;
    std::optional<json::Value> timestamp;
    std::optional<json::Value> active_connections;
    std::optional<json::Value> epoch;
    std::optional<json::Value> pos;
    std::optional<json::Value> seq;
    std::optional<json::Value> cursor;

    void keep(const json::Member& member) {
        if (member.name == "id") {
            id = member.value;
        } else if (member.name == "board") {
            board = member.value;
        } else if (member.name == "action") {
            action = member.value;
        } else if (member.name == "timestamp") {
            timestamp = member.value;
        } else if (member.name == "active_connections") {
            active_connections = member.value;
        } else if (member.name == "epoch") {
            epoch = member.value;
        } else if (member.name == "pos") {
            pos = member.value;
        } else if (member.name == "seq") {
            seq = member.value;
        } else if (member.name == "cursor") {
            cursor = member.value;
        }
    }
};

bool read_text(const std::optional<json::Value>& value, std::string& text) {
    return value && value->type == json::Type::string && json::append_decoded(text, value->text);
}

/// A whole number from 1, as we write it.
bool read_count(const std::optional<json::Value>& value, std::uint64_t& number) {
    if (!value || value->type != json::Type::number) {
        return false;
    }
    const char* const end = value->text.data() + value->text.size();
    const auto [stopped, error] = std::from_chars(value->text.data(), end, number);
    return error == std::errc() && stopped == end && number > 0;
}

void read_position(const Members& members, ActivityView& view) {
    Position position;
    std::string cursor;
    if (!read_text(members.epoch, position.epoch) || !read_count(members.pos, position.pos) ||
        !read_count(members.seq, position.seq) || !read_text(members.cursor, cursor)) {
        return;
    }
    const auto meant = parse_cursor(cursor);
    if (meant && meant->position == position && meant->event_hash == event_hash(view.id)) {
        view.position = std::move(position);
        view.cursor = std::move(cursor);
    }
}

Result<ActivityView> read_line(std::string line) {
    ActivityView view{.json = std::move(line), .id = {}, .board = {}, .action = {}};
    Members members;
    json::ObjectReader reader(view.json);
    while (const auto member = reader.next()) {
        members.keep(*member);
    }
    if (!reader.good()) {
        return fail(Errc::invalid, reader.problem());
    }
    if (!read_text(members.id, view.id) || !read_text(members.board, view.board) ||
        !read_text(members.action, view.action)) {
        return fail(Errc::invalid, "id, board or action is no string");
    }
    if (members.timestamp && members.timestamp->type == json::Type::string) {
        // Escapes are never needed in a time; one that has them is not measured.
        view.published_at = parse_iso_8601(members.timestamp->text.substr(1, members.timestamp->text.size() - 2));
    }
    read_position(members, view);
    if (members.active_connections) {
        view.count_at = static_cast<std::size_t>(members.active_connections->text.data() - view.json.data());
        view.count_length = members.active_connections->text.size();
        return view;
    }
    constexpr std::string_view kMissing = ",\"active_connections\":0";
    const std::size_t end = view.json.rfind('}');
    view.json.insert(end, kMissing);
    view.count_at = end + kMissing.size() - 1;
    view.count_length = 1;
    return view;
}

constexpr std::string_view kEncodedEnd = ",\"active_connections\":0}";

std::string with_place(std::string_view activity, const Position& position, std::string_view cursor) {
    std::string json;
    json.reserve(activity.size() + 2 * cursor.size() + 48);
    json += activity.substr(0, activity.size() - 1);  // Without its last brace.
    json += ",\"epoch\":\"";
    json += position.epoch;
    json += "\",\"pos\":";
    json += std::to_string(position.pos);
    json += ",\"seq\":";
    json += std::to_string(position.seq);
    json += ",\"cursor\":\"";
    json += cursor;
    json += "\"}";
    return json;
}

void append_length(std::string& out, std::uint64_t length) {
    std::array<char, 8> bytes{};
    for (char& byte : bytes) {
        byte = static_cast<char>(length & 0xFFU);
        length >>= 8U;
    }
    out.append(bytes.data(), bytes.size());
}

void append_behind_length(std::string& out, std::string_view text) {
    append_length(out, text.size());
    out += text;
}

}  // namespace

std::string encode_activity(const Envelope& envelope) {
    const BoardMessage& message = envelope.message;
    std::string json;
    json.reserve(320 + envelope.board_id.size() + message.action.size() + message.user.size() + message.payload.size());
    json += "{\"id\":";
    json::append_quoted(json, envelope.event_id);
    json += ",\"board\":";
    json::append_quoted(json, envelope.board_id);
    json += ",\"action\":";
    json::append_quoted(json, message.action);
    json += ",\"user\":";
    json::append_quoted(json, message.user);
    json += ",\"payload\":";
    json += message.payload;
    json += ",\"timestamp\":";
    json::append_quoted(json, envelope.timestamp);
    json += ",\"correlation_id\":";
    json::append_quoted(json, envelope.correlation_id);
    json += ",\"kind\":\"board_event\"";
    json += kEncodedEnd;
    return json;
}

std::string place_activity(std::string_view activity, const Position& position, std::string_view event_id) {
    return with_place(activity, position, encode_cursor({position, event_hash(event_id)}));
}

Result<ActivityView> placed_view(const CommitRequest& request, const Position& position) {
    std::string cursor = encode_cursor({position, event_hash(request.event_id)});
    std::string json = with_place(request.activity, position, cursor);
    if (!request.activity.ends_with(kEncodedEnd)) {
        return parse_activity(json);
    }
    ActivityView view{
        .json = std::move(json), .id = request.event_id, .board = request.board_id, .action = request.action};
    view.published_at = request.published_at;
    view.position = position;
    view.cursor = std::move(cursor);
    view.count_at = request.activity.size() - 2;  // The 0 before the brace.
    view.count_length = 1;
    return view;
}

Result<ActivityView> parse_activity(std::string_view text) {
    const bool one_line = text.find('\n') == std::string_view::npos && text.find('\r') == std::string_view::npos;
    if (one_line) {
        return read_line(std::string(text));
    }
    if (!json::is_valid(text)) {
        return fail(Errc::invalid, "not a JSON object");
    }
    std::string line;
    json::append_compact(line, {.type = json::Type::object, .spaced = true, .text = text});
    return read_line(std::move(line));
}

std::string fingerprint(const Envelope& envelope) {
    const BoardMessage& message = envelope.message;
    std::string bytes;
    bytes.reserve(5 * sizeof(std::uint64_t) + envelope.board_id.size() + message.action.size() + message.user.size() +
                  message.payload.size() + (message.message ? message.message->size() : 0));
    append_behind_length(bytes, envelope.board_id);
    append_behind_length(bytes, message.action);
    append_behind_length(bytes, message.user);
    append_behind_length(bytes, message.payload);
    if (message.message) {
        append_behind_length(bytes, *message.message);
    } else {
        append_length(bytes, UINT64_MAX);  // A length that no text has.
    }
    const auto digest = sha256(bytes);
    return to_hex(std::span(digest).first<16>());
}

}  // namespace boardbus::board

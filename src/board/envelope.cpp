// SPDX-License-Identifier: Apache-2.0
#include "board/envelope.h"

#include <algorithm>
#include <optional>

#include "board/json.h"

namespace boardbus::board {
namespace {

/// Longest event id: what fits into an AMQP short string.
constexpr std::size_t kEventIdBytesMax = 255;

void append_optional(std::string& out, const std::optional<std::string>& text) {
    if (text) {
        json::append_quoted(out, *text);
    } else {
        out += "null";
    }
}

std::string encode(const Publication& publication, const BoardMessage& message) {
    std::string body;
    body.reserve(448 + message.payload.size() + message.action.size() + message.user.size() +
                 (message.message ? message.message->size() : 0));
    body += "{\"event_id\":";
    json::append_quoted(body, publication.event_id);
    body += ",\"board_id\":";
    json::append_quoted(body, publication.board_id);
    body += ",\"message\":{\"action\":";
    json::append_quoted(body, message.action);
    body += ",\"payload\":";
    body += message.payload;
    body += ",\"user\":";
    json::append_quoted(body, message.user);
    body += ",\"message\":";
    append_optional(body, message.message);
    body += ",\"correlation_id\":";
    json::append_quoted(body, publication.correlation_id);
    body += "},\"published_at\":\"";
    body += iso_8601(publication.published_at);
    body += "\",\"correlation_id\":";
    json::append_quoted(body, publication.correlation_id);
    body += ",\"idempotency_key\":";
    json::append_quoted(body, publication.correlation_id);
    body += '}';
    return body;
}

struct Members {
    std::optional<json::Value> event_id;
    std::optional<json::Value> board_id;
    std::optional<json::Value> message;
    std::optional<json::Value> published_at;
    std::optional<json::Value> correlation_id;
    std::optional<json::Value> idempotency_key;

    void keep(const json::Member& member) {
        if (member.name == "event_id") {
            event_id = member.value;
        } else if (member.name == "board_id") {
            board_id = member.value;
        } else if (member.name == "message") {
            message = member.value;
        } else if (member.name == "published_at") {
            published_at = member.value;
        } else if (member.name == "correlation_id") {
            correlation_id = member.value;
        } else if (member.name == "idempotency_key") {
            idempotency_key = member.value;
        }
    }
};

std::unexpected<Error> refuse(std::string_view member, std::string_view why) {
    return fail(Errc::invalid, std::string(member).append(" ").append(why));
}

/// A string of 1 to `bytes_max` bytes.
Result<std::string> read_text(const std::optional<json::Value>& value, std::string_view name, std::size_t bytes_max) {
    if (!value) {
        return refuse(name, "is missing");
    }
    if (value->type != json::Type::string) {
        return refuse(name, "is no string");
    }
    auto text = json::decode_string(value->text);
    if (!text) {
        return refuse(name, "holds half of a surrogate pair");
    }
    if (text->empty() || text->size() > bytes_max) {
        return refuse(
            name, "has " + std::to_string(text->size()) + " bytes, 1 to " + std::to_string(bytes_max) + " are allowed");
    }
    return std::move(*text);
}

/// A time as the events show it: in UTC, with `Z`.
std::optional<std::string> utc_timestamp(std::string_view text) {
    if (!parse_iso_8601(text)) {
        return std::nullopt;
    }
    if (text.ends_with("+00:00")) {
        text.remove_suffix(6);
    }
    return std::string(text) + (text.ends_with('Z') ? "" : "Z");
}

Result<BoardMessage> read_message(const std::optional<json::Value>& value) {
    if (!value) {
        return refuse("message", "is missing");
    }
    auto message = parse_board_message(value->text);
    if (!message) {
        const bool fields = !message.error().errors.empty();
        return fail(Errc::invalid, (fields ? "message." : "message: ") + message.error().problem);
    }
    return std::move(*message);
}

}  // namespace

Publication seal(const BoardMessage& message, std::string board_id, std::string event_id,
                 std::string fallback_correlation_id, WallTime now) {
    Publication publication{.event_id = std::move(event_id),
                            .board_id = std::move(board_id),
                            .correlation_id = message.correlation_id.value_or(std::move(fallback_correlation_id)),
                            .body = {},
                            .published_at = now};
    publication.body = encode(publication, message);
    return publication;
}

Result<Envelope> decode_envelope(std::string_view body) {
    if (body.empty()) {
        return fail(Errc::invalid, "the body is empty");
    }
    Members members;
    // One level more than a message, which stands inside.
    json::ObjectReader reader(body, json::kDepthMax + 1);
    while (const auto member = reader.next()) {
        members.keep(*member);
    }
    if (!reader.good()) {
        return fail(Errc::invalid, reader.problem());
    }
    auto event_id = read_text(members.event_id, "event_id", kEventIdBytesMax);
    auto board_id = read_text(members.board_id, "board_id", kBoardIdBytesMax);
    auto message = read_message(members.message);
    auto published_at = read_text(members.published_at, "published_at", 64);
    auto correlation_id = read_text(members.correlation_id, "correlation_id", kCorrelationIdBytesMax);
    auto idempotency_key = read_text(members.idempotency_key, "idempotency_key", kCorrelationIdBytesMax);
    for (const auto* text : {&event_id, &board_id, &published_at, &correlation_id, &idempotency_key}) {
        if (!*text) {
            return std::unexpected(text->error());
        }
    }
    if (!message) {
        return std::unexpected(message.error());
    }
    if (std::ranges::any_of(*event_id, [](char byte) { return static_cast<unsigned char>(byte) < 0x20; })) {
        return refuse("event_id", "holds a control character");
    }
    auto timestamp = utc_timestamp(*published_at);
    if (!timestamp) {
        return refuse("published_at", "is no ISO 8601 time in UTC");
    }
    return Envelope{.event_id = std::move(*event_id),
                    .board_id = std::move(*board_id),
                    .message = std::move(*message),
                    .timestamp = std::move(*timestamp),
                    .correlation_id = std::move(*correlation_id),
                    .idempotency_key = std::move(*idempotency_key)};
}

}  // namespace boardbus::board

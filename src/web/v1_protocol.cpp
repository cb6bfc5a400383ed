// SPDX-License-Identifier: Apache-2.0
#include "web/v1_protocol.h"

#include "board/json.h"

namespace boardbus::web::v1 {
namespace {

namespace json = board::json;

// What a client waits before it sends a message again: 0.5 to 1.5 s, so that those who were refused together do not come
// back together.
constexpr double kRetryMs = 500;
constexpr double kRetrySpreadMs = 1000;

std::string frame_of(std::string_view kind) {
    std::string frame = R"({"kind":")";
    frame += kind;
    frame += '"';
    return frame;
}

void add_text(std::string& frame, std::string_view name, std::string_view value) {
    frame += ",\"";
    frame += name;
    frame += "\":";
    json::append_quoted(frame, value);
}

void add_raw(std::string& frame, std::string_view name, std::string_view value) {
    frame += ",\"";
    frame += name;
    frame += "\":";
    frame += value;
}

std::string_view truth(bool value) {
    return value ? "true" : "false";
}

/// A string member of a valid object; "" when there is none.
std::string text_member(std::string_view text, std::string_view name) {
    std::string value;
    json::ObjectReader reader(text);
    while (const auto member = reader.next()) {
        if (member->name == name) {
            value = member->value.type == json::Type::string
                        ? json::decode_string(member->value.text).value_or(std::string())
                        : std::string();
        }
    }
    return reader.good() ? value : std::string();
}

}  // namespace

std::string hello_frame(std::chrono::seconds ping_interval) {
    std::string frame = frame_of("hello");
    add_text(frame, "server", "boardbus");
    add_raw(frame, "ping_seconds", std::to_string(ping_interval.count()));
    return frame += '}';
}

std::string status_frame(bool live) {
    std::string frame = frame_of("status");
    add_raw(frame, "live", truth(live));
    return frame += '}';
}

std::string going_away_frame(std::chrono::milliseconds reconnect_in) {
    std::string frame = frame_of("going_away");
    add_raw(frame, "reconnect_in_ms", std::to_string(reconnect_in.count()));
    return frame += '}';
}

std::string subscribed_frame(const Subscribed& subscribed) {
    std::string frame = frame_of("subscribed");
    add_text(frame, "board", subscribed.board);
    add_text(frame, "epoch", subscribed.epoch);
    add_raw(frame, "seq", subscribed.seq ? std::to_string(*subscribed.seq) : "null");
    add_raw(frame, "recovered", truth(subscribed.recovered));
    if (!subscribed.cursor.empty()) {
        add_text(frame, "cursor", subscribed.cursor);
    }
    return frame += '}';
}

std::string unsubscribed_frame(std::string_view board) {
    std::string frame = frame_of("unsubscribed");
    add_text(frame, "board", board);
    return frame += '}';
}

std::string ack_frame(const Receipt& receipt) {
    std::string frame = frame_of("ack");
    add_text(frame, "correlation_id", receipt.correlation_id);
    add_text(frame, "event_id", receipt.event_id);
    return frame += '}';
}

std::string nack_frame(const Refused& refused) {
    std::string frame = frame_of("nack");
    if (refused.correlation_id.empty()) {
        add_raw(frame, "correlation_id", "null");
    } else {
        add_text(frame, "correlation_id", refused.correlation_id);
    }
    add_text(frame, "outcome", refused.outcome == board::PublishOutcome::unknown ? "unknown" : "rejected");
    add_text(frame, "reason", refused.reason);
    add_raw(frame, "retry_after_ms", refused.retry_after ? std::to_string(refused.retry_after->count()) : "null");
    if (!refused.detail.empty()) {
        add_raw(frame, "detail", refused.detail);
    }
    return frame += '}';
}

std::string nack_frame(const Receipt& receipt, const board::PublishResult& result, double jitter) {
    std::string_view reason = "unavailable";
    if (result.outcome == board::PublishOutcome::unknown) {
        reason = "timeout";
    } else if (result.reason.starts_with("overloaded")) {
        reason = "overloaded";
    }
    Refused refused{.correlation_id = receipt.correlation_id,
                    .outcome = result.outcome,
                    .reason = reason,
                    .retry_after = std::chrono::milliseconds(static_cast<int>(kRetryMs + kRetrySpreadMs * jitter)),
                    .detail = {}};
    if (!result.reason.empty()) {
        json::append_quoted(refused.detail, result.reason);
    }
    return nack_frame(refused);
}

std::string nack_frame(std::string_view text, const board::Rejection& rejection) {
    const std::string correlation_id = correlation_id_of(text);
    return nack_frame({.correlation_id = correlation_id,
                       .outcome = board::PublishOutcome::rejected,
                       .reason = rejection.reason(),
                       .retry_after = {},
                       .detail = board::detail_json(rejection)});
}

std::string correlation_id_of(std::string_view text) {
    std::string correlation_id = text_member(text, "correlation_id");
    return correlation_id.size() <= board::kCorrelationIdBytesMax ? correlation_id : std::string();
}

std::string error_frame(std::string_view op, const std::optional<std::string>& board, std::string_view reason) {
    std::string frame = frame_of("error");
    add_text(frame, "op", op);
    if (board) {
        add_text(frame, "board", *board);
    } else {
        add_raw(frame, "board", "null");
    }
    add_text(frame, "reason", reason);
    return frame += '}';
}

std::optional<Command> read_command(std::string_view text) {
    Command command;
    bool is_command = false;
    json::ObjectReader reader(text);
    while (const auto member = reader.next()) {
        const json::Value& value = member->value;
        auto decoded = value.type == json::Type::string ? json::decode_string(value.text) : std::nullopt;
        if (member->name == "op") {
            is_command = value.type == json::Type::string;
            command.op = std::move(decoded).value_or(std::string());
        } else if (member->name == "board") {
            command.board = std::move(decoded);
        } else if (member->name == "since") {
            command.since_is_wrong = !decoded && value.type != json::Type::null;
            command.since = std::move(decoded).value_or(std::string());
        } else if (member->name == "message") {
            command.message = value.text;
        }
    }
    if (!reader.good() || !is_command) {
        return {};
    }
    if (command.board && (command.board->empty() || command.board->size() > board::kBoardIdBytesMax)) {
        command.board.reset();
    }
    return command;
}

}  // namespace boardbus::web::v1

// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_copy.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace boardbus::transport {
namespace {

using amqp::Properties;
using amqp::Table;
using amqp::Value;

constexpr std::size_t kErrorMax = 1024;

bool is_harmful(std::string_view name) {
    return name.starts_with("x-death") || name.starts_with("x-first-death-") || name.starts_with("x-last-death-") ||
           name == "x-delivery-count" || name == "CC" || name == "BCC";
}

void set(Table& headers, std::string_view name, Value value) {
    std::erase_if(headers, [name](const auto& field) { return field.first == name; });
    headers.emplace_back(name, std::move(value));
}

/// Takes away the largest headers until the properties fit. Each is measured once: a sender may have filled a frame with tiny ones.
void fit(Properties& copy) {
    std::size_t total = amqp::encoded_size(copy);
    if (total <= kCopyPropertiesMax) {
        return;
    }
    std::vector<std::pair<std::size_t, std::size_t>> sizes;  // With the index of the header.
    std::string encoded;
    for (const auto& field : copy.headers) {
        encoded.clear();
        amqp::Writer(encoded).table({field});
        sizes.emplace_back(encoded.size() - 4, sizes.size());  // Less the length of the table.
    }
    std::ranges::sort(sizes, std::greater());
    std::vector<bool> too_much(sizes.size());
    for (const auto& [size, index] : sizes) {
        if (total <= kCopyPropertiesMax) {
            break;
        }
        total -= size;
        too_much[index] = true;
    }
    std::size_t index = 0;
    std::erase_if(copy.headers, [&](const auto&) { return too_much[index++]; });
}

/// The original's properties without what harms, and with headers that leave room for ours.
Properties clean_copy(const Properties& original) {
    Properties copy = original;
    std::erase_if(copy.headers, [](const auto& field) { return is_harmful(field.first); });
    copy.expiration.reset();
    copy.user_id.reset();
    copy.delivery_mode = 2;
    fit(copy);
    return copy;
}

void add_failure(Properties& copy, int retry_count, std::string_view error, std::string_view now) {
    set(copy.headers, "x-retry-count", std::int32_t{retry_count});
    set(copy.headers, "last-error", printable_error(error));
    if (amqp::find_field(copy.headers, "x-first-failed-at") == nullptr) {
        set(copy.headers, "x-first-failed-at", std::string(now));
    }
}

std::string text_field(const Table& table, std::string_view name) {
    const Value* value = amqp::find_field(table, name);
    return value == nullptr ? std::string() : std::string(value->as_text());
}

}  // namespace

std::int64_t retry_count_of(const Properties& properties) {
    const Value* count = amqp::find_field(properties.headers, "x-retry-count");
    return count == nullptr ? 0 : std::max<std::int64_t>(0, count->as_integer().value_or(0));
}

std::string printable_error(std::string_view text) {
    text = text.substr(0, kErrorMax);
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        // The shortest prefix that is a whole character; UTF-8 has none longer than four bytes.
        std::size_t length = 1;
        while (length <= 4 && length <= text.size() && !is_utf8(text.substr(0, length))) {
            ++length;
        }
        if (length <= 4 && length <= text.size()) {
            out.append(text.substr(0, length));
        } else {
            out.push_back('?');
            length = 1;
        }
        text.remove_prefix(length);
    }
    return out;
}

Properties retry_copy(const Properties& original, int retry_count, std::chrono::milliseconds delay,
                      std::string_view error, std::string_view now) {
    Properties copy = clean_copy(original);
    add_failure(copy, retry_count, error, now);
    copy.expiration = std::to_string(std::max<std::int64_t>(0, delay.count()));
    return copy;
}

Properties dead_letter_copy(const Properties& original, int retry_count, std::string_view reason,
                            std::string_view error, std::string_view now) {
    Properties copy = clean_copy(original);
    add_failure(copy, retry_count, error, now);
    set(copy.headers, "failure_reason", std::string(reason));
    set(copy.headers, "error", printable_error(error));
    return copy;
}

Properties replay_copy(const Properties& original, std::string_view now) {
    Properties copy = clean_copy(original);
    constexpr std::array<std::string_view, 5> kOfTheFailure = {"failure_reason", "error", "last-error",
                                                               "x-first-failed-at", "x-retry-count"};
    std::erase_if(copy.headers, [&](const auto& field) {
        return std::ranges::find(kOfTheFailure, field.first) != kOfTheFailure.end();
    });
    set(copy.headers, "x-replayed-at", std::string(now));
    return copy;
}

DeathRecord death_record(const Properties& properties) {
    const Table& headers = properties.headers;
    DeathRecord record{.reason = text_field(headers, "failure_reason"),
                       .error = text_field(headers, "error"),
                       .attempts = std::min<std::int64_t>(retry_count_of(properties), INT32_MAX) + 1,
                       .failed_at = text_field(headers, "x-first-failed-at")};
    const Value* deaths = amqp::find_field(headers, "x-death");
    const auto* list = deaths == nullptr ? nullptr : std::get_if<amqp::Array>(&deaths->of);
    const auto* last = list == nullptr || list->empty() ? nullptr : std::get_if<Table>(&list->front().of);
    if (!record.reason.empty() || last == nullptr) {
        return record;
    }
    record.by_broker = true;
    record.reason = text_field(*last, "reason");
    record.error = "dead-lettered by RabbitMQ from " + text_field(*last, "queue");
    const Value* time = amqp::find_field(*last, "time");
    const auto* stamp = time == nullptr ? nullptr : std::get_if<amqp::Timestamp>(&time->of);
    record.broker_time = stamp == nullptr ? 0 : stamp->seconds;
    return record;
}

}  // namespace boardbus::transport

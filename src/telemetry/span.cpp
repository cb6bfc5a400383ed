// SPDX-License-Identifier: Apache-2.0
#include "telemetry/span.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "base/hex.h"
#include "telemetry/log_line.h"

namespace boardbus::telemetry {
namespace {

void append_number(std::string& out, std::int64_t number) {
    std::array<char, 20> digits{};
    const auto [end, code] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    out.append(digits.data(), end);
}

void append_hex(std::string& out, std::uint64_t number) {
    out += to_hex(number, 16);
}

void append_nanoseconds(std::string& out, WallTime time) {
    append_number(out, std::chrono::nanoseconds(time.time_since_epoch()).count());
}

/// The inside of a JSON string.
void append_text(std::string& out, std::string_view text) {
    if (text.size() > kAttributeBytesMax) {
        std::size_t end = kAttributeBytesMax;
        // Three bytes at most may belong to the character that the cut goes through.
        for (int back = 0; back < 3 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U; ++back) {
            --end;
        }
        text = text.substr(0, end);
    }
    append_json_escaped(out, text);
}

void append_text_attribute(std::string& out, std::string_view name, std::string_view text) {
    out += R"({"key":")";
    out += name;
    out += R"(","value":{"stringValue":")";
    append_text(out, text);
    out += R"("}})";
}

void append_attribute(std::string& out, const Attribute& attribute) {
    if (const auto* text = std::get_if<std::string>(&attribute.value)) {
        append_text_attribute(out, attribute.name, *text);
        return;
    }
    out += R"({"key":")";
    out += attribute.name;
    out += R"(","value":{"intValue":")";
    append_number(out, std::get<std::int64_t>(attribute.value));
    out += R"("}})";
}

}  // namespace

void append_span(std::string& out, const Span& span) {
    out += R"({"traceId":")";
    append_hex(out, span.context.trace_id[0]);
    append_hex(out, span.context.trace_id[1]);
    out += R"(","spanId":")";
    append_hex(out, span.context.span_id);
    if (span.parent_id != 0) {
        out += R"(","parentSpanId":")";
        append_hex(out, span.parent_id);
    }
    out += R"(","name":")";
    out += span.name;
    out += R"(","kind":)";
    append_number(out, static_cast<std::int64_t>(span.kind));
    out += R"(,"startTimeUnixNano":")";
    append_nanoseconds(out, span.begun);
    out += R"(","endTimeUnixNano":")";
    append_nanoseconds(out, std::max(span.begun, span.ended));
    out += R"(","attributes":[)";
    for (const Attribute& attribute : span.attributes) {
        out += &attribute == span.attributes.data() ? "" : ",";
        append_attribute(out, attribute);
    }
    out += ']';
    if (!span.failure.empty()) {
        out += R"(,"status":{"code":2,"message":")";
        append_text(out, span.failure);
        out += R"("})";
    }
    out += '}';
}

std::string request_head(const TraceSource& source) {
    std::string head = R"({"resourceSpans":[{"resource":{"attributes":[)";
    append_text_attribute(head, "service.name", source.service_name);
    head += ',';
    append_text_attribute(head, "service.version", source.version);
    head += ',';
    append_text_attribute(head, "service.instance.id", source.instance_id);
    head += ',';
    append_text_attribute(head, "boardbus.command", source.command);
    head += R"(]},"scopeSpans":[{"scope":{"name":"boardbus","version":")";
    append_text(head, source.version);
    head += R"("},"spans":[)";
    return head;
}

}  // namespace boardbus::telemetry

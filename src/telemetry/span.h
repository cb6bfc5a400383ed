// One step of a message's way as tracing tools show it, and its form on the wire.
//
// The form is JSON: see OTLP/HTTP, "JSON Protobuf Encoding" (ids as hexadecimal digits, 64-bit numbers as strings, enumerators as numbers).
// A span carries ids and closed words only, never what a message says or who sent it. Pure; any thread.
// Spec: OpenTelemetry Protocol 1.3, opentelemetry/proto/trace/v1/trace.proto.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/trace_context.h"

namespace boardbus::telemetry {

struct Attribute {
    std::string_view name;  ///< A literal.
    std::variant<std::string, std::int64_t> value;
};

/// A text that is longer is cut, at a character: 256 is what a correlation id may have.
inline constexpr std::size_t kAttributeBytesMax = 256;

struct Span {
    enum class Kind { server = 2, producer = 4, consumer = 5 };  ///< The numbers are OTLP's.

    TraceContext context;
    std::uint64_t parent_id = 0;  ///< 0: the first span of its trace.
    Kind kind = Kind::server;
    std::string_view name;  ///< A literal.
    WallTime begun;
    WallTime ended;  ///< Before `begun` when the clock was set back: then it counts as `begun`.
    std::vector<Attribute> attributes;
    std::string failure;  ///< Why it did not succeed; empty: it did.
};

/// Who made the spans: the same for all of a process.
struct TraceSource {
    std::string service_name;
    std::string version;
    std::string command;      ///< app or worker.
    std::string instance_id;  ///< Of this process: a UUID.
};

/// Writes `span` to the end of `out`. Cost: about 500 B of text.
void append_span(std::string& out, const Span& span);

/// What stands before and behind spans, separated by commas, in an ExportTraceServiceRequest.
std::string request_head(const TraceSource& source);
inline constexpr std::string_view kRequestTail = "]}]}]}";

}  // namespace boardbus::telemetry

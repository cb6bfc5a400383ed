// The trace that a message belongs to, as it is handed from program to program. Spec: W3C Trace Context, §3.2. Thread: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace boardbus {

/// One span's place in the world: its trace, its own id, and whether anybody records it.
struct TraceContext {
    std::array<std::uint64_t, 2> trace_id{};  ///< The upper half first; never both 0.
    std::uint64_t span_id = 0;                ///< Never 0.
    bool sampled = false;

    bool operator==(const TraceContext&) const = default;
};

/// Reads a traceparent of version 00. Errors: none for anything else.
std::optional<TraceContext> parse_traceparent(std::string_view text);

/// Writes it, version 00; of the flags only `sampled`.
std::string to_traceparent(const TraceContext& context);

/// A new span of the same trace, sampled as its parent is; without a parent the first span of a new trace, sampled.
TraceContext next_span(const std::optional<TraceContext>& parent);

/// A new trace with a first span, not sampled: nobody here records it.
std::string new_traceparent();

/// Whether `text` is a traceparent of version 00.
bool is_traceparent(std::string_view text);

}  // namespace boardbus

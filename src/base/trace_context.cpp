// SPDX-License-Identifier: Apache-2.0
#include "base/trace_context.h"

#include <charconv>

#include "base/hex.h"
#include "base/random.h"

namespace boardbus {
namespace {

/// Lower-case digits only, as the format has them.
template <typename Number>
bool read_hex(std::string_view digits, Number& number) {
    const bool has_capitals = digits.find_first_of("ABCDEF") != digits.npos;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    return !has_capitals && code == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
    constexpr std::string_view kShape = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00";
    if (text.size() != kShape.size() || !text.starts_with("00-") || text[35] != '-' || text[52] != '-') {
        return std::nullopt;
    }
    TraceContext context;
    std::uint8_t flags = 0;
    if (!read_hex(text.substr(3, 16), context.trace_id[0]) || !read_hex(text.substr(19, 16), context.trace_id[1]) ||
        !read_hex(text.substr(36, 16), context.span_id) || !read_hex(text.substr(53), flags)) {
        return std::nullopt;
    }
    if ((context.trace_id[0] == 0 && context.trace_id[1] == 0) || context.span_id == 0) {
        return std::nullopt;
    }
    context.sampled = (flags & 1U) != 0;
    return context;
}

std::string to_traceparent(const TraceContext& context) {
    std::string text = "00-                                -                -  ";
    char* at = write_hex(text.data() + 3, context.trace_id[0], 16);
    at = write_hex(at, context.trace_id[1], 16) + 1;
    at = write_hex(at, context.span_id, 16) + 1;
    write_hex(at, context.sampled ? 1 : 0, 2);
    return text;
}

TraceContext next_span(const std::optional<TraceContext>& parent) {
    // An id of zeros only would be invalid; one in 2^64 is, so its last bit is set.
    const std::uint64_t span_id = random_u64() | 1U;
    if (parent) {
        return {.trace_id = parent->trace_id, .span_id = span_id, .sampled = parent->sampled};
    }
    return {.trace_id = {random_u64(), random_u64() | 1U}, .span_id = span_id, .sampled = true};
}

std::string new_traceparent() {
    TraceContext context = next_span(std::nullopt);
    context.sampled = false;
    return to_traceparent(context);
}

bool is_traceparent(std::string_view text) {
    return parse_traceparent(text).has_value();
}

}  // namespace boardbus

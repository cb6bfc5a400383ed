// SPDX-License-Identifier: Apache-2.0
#include "base/trace_context.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/random.h"

namespace boardbus {

std::string new_traceparent() {
    std::array<char, 56> text{};
    // An id of zeros only would be invalid; one in 2^64 is, so its last bit is set.
    std::snprintf(text.data(), text.size(), "00-%016lx%016lx-%016lx-00", random_u64(), random_u64() | 1U,
                  random_u64() | 1U);
    return text.data();
}

bool is_traceparent(std::string_view text) {
    constexpr std::string_view kShape = "00-00000000000000000000000000000000-0000000000000000-00";
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return text.size() == kShape.size() && text.starts_with("00-") &&
           std::ranges::equal(text, kShape, [&](char c, char shape) { return shape == '-' ? c == '-' : is_hex(c); }) &&
           text.substr(3, 32).find_first_not_of('0') != text.npos &&
           text.substr(36, 16).find_first_not_of('0') != text.npos;
}

}  // namespace boardbus

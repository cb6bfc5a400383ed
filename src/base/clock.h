// Wall-clock time as texts. Decisions use Loop::now(); the wall clock is for people and for other machines.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace boardbus {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

inline WallTime wall_now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// ISO 8601 in UTC with microseconds and `Z`: 2026-11-23T09:24:01.004200Z. Years 0 to 9999.
std::string iso_8601(WallTime time);

/// Reads a time of ISO 8601 in UTC, the way that we and Python write it: `Z`, `+00:00` or nothing at its end, any fraction (cut to
/// microseconds). Errors: none for anything else.
std::optional<WallTime> parse_iso_8601(std::string_view text);

}  // namespace boardbus

// Wall-clock time as texts. Decisions use Loop::now(); the wall clock is for people and for other machines.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace boardbus {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

inline WallTime wall_now() { return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()); }

/// ISO 8601 in UTC with microseconds and `Z`: 2026-11-23T09:24:01.004200Z.
std::string iso_8601(WallTime time);

}  // namespace boardbus

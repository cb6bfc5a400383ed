// The log: one line per event, as text on a terminal, as JSON elsewhere.
//
// A line has a short name and named fields, so that it can be searched by either. Fields never carry tokens or passwords; who logs a
// URL masks it first. board/ and hub/ do not log; the edge that asked them does, once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace boardbus::telemetry {

enum class Level { debug, info, warn, error };
enum class LogFormat { text, json };

struct Field {
    std::string_view name;
    std::variant<std::string_view, std::int64_t, double, bool> value;
};

/// Sets level and format for the whole process, before the first thread starts. Lines go to standard error.
void configure_log(Level level, LogFormat format);

/// Writes one line: time, level, `event` (a lower_snake_case name or a short sentence), fields. Thread: any.
void log(Level level, std::string_view event, std::initializer_list<Field> fields = {});

}  // namespace boardbus::telemetry

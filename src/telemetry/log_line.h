// One event as one line of the log.
//
// Whatever a field holds, the line stays one line and its own: control characters, line and paragraph separators, characters that
// reorder text on a screen and bytes that are not UTF-8 are written as escapes. Pure; log() adds the clock and the sink.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "telemetry/log.h"

namespace boardbus::telemetry {

/// Without the newline. Text: `2026-11-23T09:24:01.004Z INFO  event key=value key="quoted text"`.
/// JSON: {"time":…,"level":"info","event":…,fields…}.
std::string log_line(LogFormat format, WallTime time, Level level, std::string_view event,
                     std::initializer_list<Field> fields);

/// `text` as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD.
void append_json_escaped(std::string& out, std::string_view text);

}  // namespace boardbus::telemetry

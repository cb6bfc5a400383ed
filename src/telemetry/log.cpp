// SPDX-License-Identifier: Apache-2.0
#include "telemetry/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>

#include "base/clock.h"
#include "telemetry/log_line.h"

namespace boardbus::telemetry {
namespace {

struct Sink {
    Sink() { logger.set_pattern("%v"); }

    spdlog::logger logger{"boardbus", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
    LogFormat format = LogFormat::text;
};

/// The one log of the process. It is never destroyed, so that the last thread may still write when main has returned.
Sink& sink() {
    static Sink& the_sink = *new Sink;
    return the_sink;
}

spdlog::level::level_enum spdlog_level(Level level) {
    switch (level) {
        case Level::debug:
            return spdlog::level::debug;
        case Level::info:
            return spdlog::level::info;
        case Level::warn:
            return spdlog::level::warn;
        case Level::error:
            return spdlog::level::err;
    }
    return spdlog::level::err;
}

}  // namespace

void configure_log(Level level, LogFormat format) {
    sink().logger.set_level(spdlog_level(level));
    sink().format = format;
}

void log(Level level, std::string_view event, std::initializer_list<Field> fields) {
    const auto target = spdlog_level(level);
    if (!sink().logger.should_log(target)) {
        return;
    }
    sink().logger.log(target, log_line(sink().format, wall_now(), level, event, fields));
}

}  // namespace boardbus::telemetry

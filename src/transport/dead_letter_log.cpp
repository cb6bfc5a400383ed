// SPDX-License-Identifier: Apache-2.0
#include "transport/dead_letter_log.h"

#include "telemetry/log.h"

namespace boardbus::transport {

void log_dead_letter(telemetry::Metrics& metrics, const board::Verdict& verdict, std::string_view message_id) {
    metrics.dead_letter(verdict.reason);
    telemetry::log(telemetry::Level::error, "dead_letter",
                   {{"event_id", verdict.event_id.empty() ? message_id : std::string_view(verdict.event_id)},
                    {"board_id", verdict.board_id},
                    {"attempts", static_cast<std::int64_t>(verdict.attempts)},
                    {"reason", verdict.reason},
                    {"last_error", verdict.error}});
}

}  // namespace boardbus::transport

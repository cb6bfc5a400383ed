// The one ERROR line that every dead letter gets, whichever transport buries it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "board/ports.h"
#include "telemetry/metrics.h"

namespace boardbus::transport {

/// Writes the line and counts it. `message_id` names the event when its body could not be read. Call it once, after the copy is safe.
void log_dead_letter(telemetry::Metrics& metrics, const board::Verdict& verdict, std::string_view message_id);

}  // namespace boardbus::transport

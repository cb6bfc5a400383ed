// Traces of this process: whether there are any, who sends them, and what stands between the parts to see what happens.
//
// Off, nothing of it exists: the parts are joined directly, and a message costs nothing more.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "cli/config.h"
#include "telemetry/metrics.h"
#include "transport/otlp_exporter.h"
#include "transport/traced_publisher.h"
#include "transport/traced_source.h"

namespace boardbus::cli {

class Tracing {
  public:
    /// `command`: app or worker.
    Tracing(Loop& loop, telemetry::Metrics& metrics, const Config& config, std::string command);
    Tracing(const Tracing&) = delete;
    Tracing& operator=(const Tracing&) = delete;

    bool on() const { return exporter_ != nullptr; }

    /// What stands for `publisher` from now on: itself when off. To be called once.
    board::Publisher& traced_publisher(board::Publisher& publisher);
    /// The same for the source of a pump. To be called once for each.
    board::DeliverySource& traced_source(board::DeliverySource& source);

    /// Sends what waits, within `most`; then `done`, perhaps at once.
    void stop(std::chrono::milliseconds most, Task done);

  private:
    const transport::TracedBus publish_names_;
    const transport::TracedBus process_names_;
    const std::unique_ptr<transport::OtlpExporter> exporter_;  // Null: off.
    std::unique_ptr<transport::TracedPublisher> publisher_;
    std::vector<std::unique_ptr<transport::TracedSource>> sources_;  // Bound: the lanes.
};

/// How long a stop may wait for the collector when `left` of the grace is left: it must never be what makes a stop late.
std::chrono::milliseconds flush_time(std::chrono::nanoseconds left);

}  // namespace boardbus::cli

// What the app needs of the bus, in one process or on brokers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "base/loop.h"
#include "board/ports.h"
#include "cli/config.h"
#include "cli/tracing.h"
#include "telemetry/metrics.h"

namespace boardbus::cli {

class AppBus {
  public:
    virtual ~AppBus() = default;

    virtual board::Publisher& publisher() = 0;

    /// What happened lately. Bus loop only.
    virtual board::ActivityHistory& history() = 0;

    /// Begins to work; tells each time whether messages can be published and events are seen.
    virtual void start(std::function<void(bool usable)> on_usable) = 0;

    /// Ends in good order; `done` is always called, within about 2 s.
    virtual void stop(Task done) = 0;
};

/// The whole pipeline in this process, forgotten at its end. Deliveries are traced here; publications are the app's to trace, whatever
/// the bus.
std::unique_ptr<AppBus> make_memory_bus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics,
                                        Tracing& tracing, const Config& config);

/// RabbitMQ to publish, Redis to see what the workers made of it.
std::unique_ptr<AppBus> make_broker_bus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics,
                                        const Config& config);

}  // namespace boardbus::cli

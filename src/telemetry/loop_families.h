// The loops' counters as Prometheus families: summed over all loops when somebody scrapes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <deque>
#include <mutex>
#include <vector>

#include "telemetry/loop_counters.h"

namespace boardbus::telemetry {

class LoopFamilies final : public prometheus::Collectable {
  public:
    /// Thread: any. Lifetime: the counters live as long as this object.
    LoopCounters& add_loop();

    std::vector<prometheus::MetricFamily> Collect() const override;

  private:
    mutable std::mutex mutex_;        // Guards the list, not the numbers.
    std::deque<LoopCounters> loops_;  // A deque: what has been handed out never moves. Bound: one per loop.
};

}  // namespace boardbus::telemetry

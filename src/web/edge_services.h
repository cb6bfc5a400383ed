// What all edges of the process share.
//
// Thread: each member says its own; the struct itself never changes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/loop.h"
#include "board/ports.h"
#include "hub/hub.h"
#include "hub/outbox.h"
#include "telemetry/metrics.h"
#include "web/occupancy.h"
#include "web/pages.h"
#include "web/rate_limit.h"
#include "web/readiness.h"

namespace boardbus::web {

/// It outlives the edges.
struct EdgeServices {
    Loop& bus_loop;
    board::Publisher& publisher;  ///< Used on the bus loop. What it still holds when an edge dies must never be called.
    hub::Hub& hub;
    hub::SlowBudget& slow_budget;
    telemetry::Metrics& metrics;
    const Readiness& readiness;
    const Pages& pages;
    RateLimitStore& rate_limits;
    Occupancy& occupancy;
};

}  // namespace boardbus::web

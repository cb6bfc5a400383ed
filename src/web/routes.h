// Which path leads where, and with which methods.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "telemetry/metrics.h"

namespace boardbus::web {

enum class Route : std::uint8_t {
    unknown,
    index,
    healthz,
    readyz,
    metrics,
    sse_activity,
    sse_board,
    post_message,
    history,
    websocket,
    asset,
};

struct RouteMatch {
    Route route = Route::unknown;
    std::string_view board;  ///< The board's segment, still percent-encoded; for routes that have one.
};

/// `metrics_path` is configured. A file of the page is `unknown` here: the caller asks Pages.
RouteMatch match_route(std::string_view path, std::string_view metrics_path);

/// The methods of a route, as Allow says them.
std::string_view allowed_methods(Route route);

/// Health and metrics: what a worker's port serves, too.
bool is_admin(Route route);

bool allows_method(Route route, std::string_view method);

/// The template of the path: the label of metrics.
telemetry::LabelText route_label(Route route);

}  // namespace boardbus::web

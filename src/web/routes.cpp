// SPDX-License-Identifier: Apache-2.0
#include "web/routes.h"

#include "web/http_request.h"
#include "web/http_target.h"

namespace boardbus::web {

RouteMatch match_route(std::string_view path, std::string_view metrics_path) {
    if (path == metrics_path) {
        return {Route::metrics, {}};
    }
    const auto parts = path_segments(path);
    const auto is = [&](std::size_t count, std::string_view first, std::string_view second = {}) {
        return parts.size() == count && parts[0] == first && (count < 2 || second.empty() || parts[1] == second);
    };
    if (is(1, "")) {
        return {Route::index, {}};
    }
    if (is(1, "healthz")) {
        return {Route::healthz, {}};
    }
    if (is(1, "readyz")) {
        return {Route::readyz, {}};
    }
    if (is(2, "sse", "activity")) {
        return {Route::sse_activity, {}};
    }
    if (is(3, "sse", "boards")) {
        return {Route::sse_board, parts[2]};
    }
    if (is(3, "ws", "boards")) {
        return {Route::websocket, parts[2]};
    }
    if (is(3, "boards") && parts[2] == "messages") {
        return {Route::post_message, parts[1]};
    }
    if (is(3, "boards") && parts[2] == "history") {
        return {Route::history, parts[1]};
    }
    return {};
}

std::string_view allowed_methods(Route route) {
    switch (route) {
        case Route::post_message:
            return "POST";
        case Route::websocket:
            return "GET";
        default:
            return "GET, HEAD";
    }
}

bool is_admin(Route route) {
    return route == Route::healthz || route == Route::readyz || route == Route::metrics;
}

bool allows_method(Route route, std::string_view method) {
    return any_list_element(allowed_methods(route), [&](std::string_view allowed) { return allowed == method; });
}

telemetry::LabelText route_label(Route route) {
    switch (route) {
        case Route::unknown:
            return "unknown";
        case Route::index:
            return "/";
        case Route::healthz:
            return "/healthz";
        case Route::readyz:
            return "/readyz";
        case Route::metrics:
            return "/metrics";
        case Route::sse_activity:
            return "/sse/activity";
        case Route::sse_board:
            return "/sse/boards/{board_id}";
        case Route::post_message:
            return "/boards/{board_id}/messages";
        case Route::history:
            return "/boards/{board_id}/history";
        case Route::websocket:
            return "/ws/boards/{board_id}";
        case Route::asset:
            return "/{file}";
    }
    return "unknown";
}

}  // namespace boardbus::web

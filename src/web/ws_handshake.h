// The opening handshake: is this request a WebSocket's, and the bytes that answer it.
//
// Whether the client may come in (path, origin, token, limits) is decided elsewhere. Spec: RFC 6455 §4.2.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "web/http_request.h"

namespace boardbus::web {

/// Why a request cannot become a WebSocket. A 426 is to carry `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
struct UpgradeRefusal {
    int status;  ///< 400 or 426.
    std::string_view detail;
};

/// The Sec-WebSocket-Key of a correct opening handshake. Lives as long as the request. Spec: RFC 6455 §4.2.1,
/// §9.1.
std::expected<std::string_view, UpgradeRefusal> check_upgrade(const HttpRequest& request);

/// True when the client offers this subprotocol; names are case-sensitive. Spec: RFC 6455 §11.3.4.
bool offers_subprotocol(const HttpRequest& request, std::string_view name);

/// The bytes of the 101 answer. `subprotocol` and `extensions` are left out when empty; `more_headers` are whole lines
/// with CRLF.
std::string upgrade_response(std::string_view key, std::string_view subprotocol = {}, std::string_view extensions = {},
                             std::string_view more_headers = {});

/// Spec: RFC 6455 §4.2.2, step 5.4.
std::string websocket_accept(std::string_view key);

}  // namespace boardbus::web

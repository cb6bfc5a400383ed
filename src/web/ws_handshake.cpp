// SPDX-License-Identifier: Apache-2.0
#include "web/ws_handshake.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "web/ws_extensions.h"

namespace boardbus::web {

namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 §1.3.
constexpr std::string_view kKeyEnd = "==";
constexpr std::size_t kKeyBytes = 24;  // 16 random bytes in base64: 22 digits and two signs of padding.

bool is_base64_digit(char letter) {
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
           letter == '+' || letter == '/';
}

bool is_key(std::string_view key) {
    return key.size() == kKeyBytes && key.ends_with(kKeyEnd) &&
           std::ranges::all_of(key.substr(0, kKeyBytes - kKeyEnd.size()), is_base64_digit);
}

std::size_t count(const HttpRequest& request, std::string_view name) {
    return static_cast<std::size_t>(std::ranges::count_if(
        request.headers, [name](const HttpRequest::Header& one) { return equals_ignoring_case(one.name, name); }));
}

}  // namespace

std::expected<std::string_view, UpgradeRefusal> check_upgrade(const HttpRequest& request) {
    if (request.method != "GET" || request.version != 11) {
        return std::unexpected(UpgradeRefusal{400, "a WebSocket handshake is a GET of HTTP/1.1"});
    }
    if (!request.header_has_token("Upgrade", "websocket") || !request.header_has_token("Connection", "upgrade")) {
        return std::unexpected(UpgradeRefusal{426, "this resource is a WebSocket"});
    }
    if (count(request, "Sec-WebSocket-Version") != 1 || request.header("Sec-WebSocket-Version") != "13") {
        return std::unexpected(UpgradeRefusal{426, "WebSocket version is not 13"});
    }
    const auto key = request.header("Sec-WebSocket-Key").value_or("");
    if (!is_key(key) || count(request, "Sec-WebSocket-Key") != 1) {
        return std::unexpected(UpgradeRefusal{400, "malformed Sec-WebSocket-Key"});
    }
    if (!is_extension_list(request.joined_header("Sec-WebSocket-Extensions"))) {
        return std::unexpected(UpgradeRefusal{400, "malformed Sec-WebSocket-Extensions"});
    }
    return key;
}

bool offers_subprotocol(const HttpRequest& request, std::string_view name) {
    return std::ranges::any_of(request.headers, [name](const HttpRequest::Header& one) {
        return equals_ignoring_case(one.name, "Sec-WebSocket-Protocol") &&
               any_list_element(one.value, [name](std::string_view element) { return element == name; });
    });
}

std::string upgrade_response(std::string_view key, std::string_view subprotocol, std::string_view extensions,
                             std::string_view more_headers) {
    std::string out;
    out.reserve(320 + more_headers.size());  // The lines below with both optional ones.
    out.append(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.append(websocket_accept(key)).append("\r\n");
    if (!subprotocol.empty()) {
        out.append("Sec-WebSocket-Protocol: ").append(subprotocol).append("\r\n");
    }
    if (!extensions.empty()) {
        out.append("Sec-WebSocket-Extensions: ").append(extensions).append("\r\n");
    }
    return out.append(more_headers).append("\r\n");
}

std::string websocket_accept(std::string_view key) {
    std::string text;
    text.reserve(key.size() + kGuid.size());
    text.append(key).append(kGuid);
    const auto digest = sha1(text);
    std::array<unsigned char, 29> base64;  // 20 bytes give 28 digits, and OpenSSL ends them with a NUL.
    const int size = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
    return {reinterpret_cast<const char*>(base64.data()), static_cast<std::size_t>(size)};
}

}  // namespace boardbus::web

// HTTP/1.1 responses as bytes.
//
// Every response of the server leaves through here, so that none lacks its security, CORS and request-id headers and no
// text of a client can start a header of its own. One object for each loop (it caches the Date line); only that loop
// uses it. Spec: RFC 9110, RFC 9112, Fetch standard (CORS).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "web/options.h"
#include "web/rate_limit.h"

namespace boardbus::web {

inline constexpr std::string_view kJsonType = "application/json";
inline constexpr std::string_view kTextType = "text/plain; charset=utf-8";

enum class Connection { keep_alive, close };
enum class Body { send, omit };  ///< omit: the answer to HEAD, with the Content-Length of the body that stays behind.

/// What a response needs to know of its request. Views live for the call.
struct ReplyContext {
    Connection connection = Connection::keep_alive;
    Body body = Body::send;
    std::string_view origin;           ///< The Origin header; "" when absent.
    std::string_view request_id;       ///< From request_id_for(); "" leaves the header out.
    std::optional<RateDecision> rate;  ///< Shown in the rate-limit headers.
};

/// A response of its own. Views live for the call.
struct Reply {
    int status = 200;
    std::string_view content_type = kJsonType;
    std::string_view body;
    std::string_view cache_control = "no-store";
    std::vector<std::pair<std::string_view, std::string>> headers;  ///< Further ones: ETag, Allow, Retry-After.
};

/// A CORS preflight's headers.
struct Preflight {
    std::string_view request_method;   ///< Access-Control-Request-Method
    std::string_view request_headers;  ///< Access-Control-Request-Headers
};

/// The client's X-Request-ID when it is 1 to 128 visible ASCII characters, else a new UUID.
std::string request_id_for(std::string_view from_client);

/// `{"detail":"…"}`.
std::string detail_json(std::string_view detail);

class Replies {
  public:
    explicit Replies(const Options& options);

    /// The whole response: status line, headers, body. A 1xx, 204 or 304 has no body.
    std::string make(const Reply& reply, const ReplyContext& context, WallTime now);

    /// `{"detail":"…"}` with `status`.
    std::string error(int status, std::string_view detail, const ReplyContext& context, WallTime now);

    /// 405 with Allow, such as "GET, HEAD".
    std::string wrong_method(std::string_view allow, const ReplyContext& context, WallTime now);

    /// 429 with Retry-After and the rate-limit headers of `context.rate`, which must be set.
    std::string rate_limited(const ReplyContext& context, WallTime now);

    /// Answers an OPTIONS request that has Origin and Access-Control-Request-Method: 200 or 400 "Disallowed CORS …".
    std::string preflight(const Preflight& preflight, const ReplyContext& context, WallTime now);

    /// The head of a stream that ends with its connection; events follow it as they are.
    std::string sse_head(const ReplyContext& context, WallTime now);

    /// The header lines that a 101 needs besides its own: security headers, X-Request-ID. Whole lines, no empty one at
    /// the end.
    std::string handshake_headers(const ReplyContext& context) const;

  private:
    void append_start(std::string& out, int status, const ReplyContext& context, WallTime now);
    void append_cors(std::string& out, std::string_view origin, std::string_view block) const;
    void append_rate(std::string& out, const RateDecision& rate, WallTime now) const;
    std::string_view date_line(WallTime now);

    // Constant after construction.
    const CorsOptions cors_;
    const bool rate_limit_headers_;
    std::string security_block_;     // All security headers, as lines.
    std::string cors_expose_block_;  // What an allowed origin gets besides its own name.
    std::string cors_preflight_block_;

    // Loop only.
    std::string date_line_;
    std::int64_t date_second_ = -1;
};

}  // namespace boardbus::web

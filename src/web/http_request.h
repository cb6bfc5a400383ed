// HTTP/1.1 requests out of bytes, without a socket.
//
// Boost.Beast knows the grammar; this file adds what a server in the open needs (limits on everything, no request
// smuggling, no folded lines) and is the only one that sees Beast. A parser exists only while a request is incomplete.
// Spec: RFC 9112.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace boardbus::web {

constexpr std::size_t kHttpHeaderBytesMax =
    std::size_t{16} * 1024;                   ///< Request line and headers together; more is 431.
constexpr std::size_t kHttpHeadersMax = 100;  ///< More is 431.

struct HttpRequest {
    struct Header {
        std::string name;
        std::string value;
    };

    std::string method;  ///< As sent; methods are case-sensitive.
    std::string target;  ///< As sent; see http_target.h.
    int version = 11;    ///< 10 or 11.
    std::vector<Header> headers;
    std::string body;
    bool keep_alive = true;  ///< HTTP/1.1 without `Connection: close`.

    /// The first header of this name, whatever its case.
    std::optional<std::string_view> header(std::string_view name) const;

    /// All headers of this name, joined by ", ". Spec: RFC 9110 §5.3.
    std::string joined_header(std::string_view name) const;

    /// True when a header of this name lists the token, whatever its case. Spec: RFC 9110 §5.6.1.
    bool header_has_token(std::string_view name, std::string_view token) const;
};

/// Calls `visit(element)` for each non-empty element of a comma-separated header value, without its white space, until
/// it says true.
template <typename Visit>
bool any_list_element(std::string_view list, Visit visit) {
    while (!list.empty()) {
        const auto comma = list.find(',');
        auto element = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        const auto first = element.find_first_not_of(" \t");
        if (first == std::string_view::npos) {
            continue;
        }
        element = element.substr(first, element.find_last_not_of(" \t") - first + 1);
        if (visit(element)) {
            return true;
        }
    }
    return false;
}

/// ASCII letters only, as protocol names compare.
bool equals_ignoring_case(std::string_view a, std::string_view b);

struct HttpEvent {
    enum class Kind {
        none,           ///< All bytes are used; come back with more.
        request,        ///< A whole request is in `out`; bytes behind it stay where they are.
        send_continue,  ///< The client waits for `100 Continue` before it sends the body. Once per request.
        failure,        ///< Answer with `status` and close. The last event.
    };
    Kind kind = Kind::none;
    int status = 0;           ///< 400, 413, 417, 431, 501 or 505.
    std::string_view detail;  ///< A constant text for people.
};

/// The receiving half of one HTTP connection.
class HttpInput {
  public:
    HttpInput();
    ~HttpInput();

    /// Takes the next event out of `bytes` and shortens it by what was used; with Kind::request, `out` is the request.
    /// Bound: 16 KiB of headers, plus `body_bytes_max` of body, plus one call's bytes.
    HttpEvent next(std::span<char>& bytes, std::size_t body_bytes_max, HttpRequest& out);

    /// True when a request has begun and not ended: what the header timeout is about.
    bool in_request() const { return parser_ != nullptr; }

  private:
    class Parser;

    std::unique_ptr<Parser> parser_;
    bool failed_ = false;
};

}  // namespace boardbus::web

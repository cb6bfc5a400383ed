// The request target taken apart. What is percent-encoded stays so: see board_id_of() and query_value() in admission.h.
//
// Spec: RFC 9112 §3.2, RFC 3986 §3.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace boardbus::web {

struct HttpTarget {
    std::string_view path;   ///< Begins with '/', or is "*".
    std::string_view query;  ///< Without the '?'.
};

/// Splits origin-form and absolute-form targets; scheme and host of the latter are dropped.
HttpTarget split_target(std::string_view target);

/// The segments behind the slashes: "/ws/boards/a%2Fb" gives "ws", "boards", "a%2Fb". A slash at the end leaves an
/// empty last segment, "/" is one empty segment; "." and ".." mean nothing special.
std::vector<std::string_view> path_segments(std::string_view path);

}  // namespace boardbus::web

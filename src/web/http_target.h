// The request target taken apart: path segments and query parameters, percent-decoded strictly.
//
// A decoded text may hold any bytes, NUL and slash included; who needs UTF-8 checks it. Spec: RFC 9112 §3.2, RFC 3986 §2.1, §3.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace boardbus::web {

struct HttpTarget {
    std::string_view path;   ///< Begins with '/' (or is "*"); still encoded.
    std::string_view query;  ///< Without the '?'; still encoded.
};

/// Splits origin-form and absolute-form targets; scheme and host of the latter are dropped.
HttpTarget split_target(std::string_view target);

enum class Plus { is_itself, is_space };  ///< In a path; in a query, as forms write it.

/// Errors: invalid, when a '%' is not followed by two hexadecimal digits.
Result<std::string> percent_decode(std::string_view text, Plus plus);

/// The segments between the slashes, decoded: "/ws/boards/a%2Fb" gives "ws", "boards", "a/b". A slash at the end leaves an empty last
/// segment, "/" is one empty segment; "." and ".." mean nothing special. Errors: invalid.
Result<std::vector<std::string>> path_segments(std::string_view path);

/// The values of all parameters of this name, in order, empty ones left out. Errors: invalid, for a bad escape in one of them.
Result<std::vector<std::string>> query_values(std::string_view query, std::string_view name);

/// The first of query_values(), or an empty text. Errors: invalid.
Result<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace boardbus::web

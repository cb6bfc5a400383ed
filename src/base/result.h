// How this program says that something did not work.
//
// After start-up a failure is a value: Result<T> carries either what was asked for or an Error, one closed list of codes with a text
// that names the thing, the value and the limit. Exceptions are for start-up only (main prints them in one line).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>

namespace boardbus {

/// Why an operation did not succeed. The list is closed: whoever handles an Error switches over all of it.
enum class Errc {
    invalid,      ///< The input breaks its format or its limits; the same input will fail again.
    refused,      ///< The other side understood and said no.
    overloaded,   ///< A bound was reached here; later may be better.
    unavailable,  ///< The other side cannot be reached or cannot serve now; nobody's message is at fault.
    timeout,      ///< No answer in time: whether it happened is not known.
    closed,       ///< The connection or object has ended.
};

struct Error {
    Errc code = Errc::invalid;
    std::string detail;
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, std::string detail) {
    return std::unexpected(Error{code, std::move(detail)});
}

}  // namespace boardbus

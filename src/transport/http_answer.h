// The answer to one HTTP request of ours, without a socket: its status, and whether the connection may carry another request.
//
// Nobody here wants the body, so it is counted and thrown away, and only the simplest framing is followed: after an answer whose end
// would have to be looked for (chunks, no length, a long body) the connection is given up, which costs a new one and no parser.
// Spec: RFC 9112 §4, §6.3, §9.3.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace boardbus::transport {

class HttpAnswer {
  public:
    /// Interim answers and headers together; more is an error.
    static constexpr std::size_t kHeadBytesMax = std::size_t{16} << 10;
    /// A longer body is not read.
    static constexpr std::size_t kBodyBytesMax = std::size_t{64} << 10;

    /// Takes the next bytes of the stream; true when the answer is complete. Not to be called after that or after an error.
    /// Errors: invalid (no HTTP/1 answer, or too long a head).
    Result<bool> feed(std::string_view bytes);

    /// True when something has arrived.
    bool begun() const { return begun_; }

    // Of the complete answer.
    int status() const { return status_; }
    /// The stream stands behind this answer and may be used again.
    bool reusable() const { return reusable_; }
    /// Retry-After in seconds, at most an hour; none when it is missing or a date.
    std::optional<std::chrono::seconds> retry_after() const { return retry_after_; }

  private:
    Result<void> read_head(std::string_view head);
    void read_field(std::string_view name, std::string_view value);

    std::string head_;  // Bound: kHeadBytesMax.
    std::size_t head_bytes_ = 0;
    bool begun_ = false;
    bool in_body_ = false;
    int status_ = 0;
    bool reusable_ = false;
    bool framed_ = true;                 // Nothing but a length says where the body ends.
    std::optional<std::size_t> length_;  // Of the body, as the head says.
    std::size_t missing_ = 0;            // Of the body.
    std::optional<std::chrono::seconds> retry_after_;
};

}  // namespace boardbus::transport

// A blocking TCP connection with deadlines, for the short programs `demo` and `health`. Servers use transport/stream.h.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace boardbus::cli {

using Deadline = std::chrono::steady_clock::time_point;

/// http://host[:port][/path], taken apart.
struct HttpUrl {
    std::string host;
    std::string port = "80";
    std::string path;  ///< Without a slash at the end; often empty.

    /// host:port as a Host header has it.
    std::string authority() const;
};

/// Errors: invalid; https says that it is not supported yet.
Result<HttpUrl> parse_http_url(std::string_view text);

class PlainSocket {
  public:
    /// Resolves and connects; tries every address. Errors: unavailable, timeout.
    static Result<PlainSocket> connect(const HttpUrl& url, Deadline deadline);

    Result<void> send(std::string_view bytes, Deadline deadline);

    /// Appends what has arrived, at least one byte. Errors: closed (the other side ended), timeout, unavailable.
    Result<void> receive(std::string& buffer, Deadline deadline);

    int fd() const { return fd_.get(); }

  private:
    explicit PlainSocket(UniqueFd fd) : fd_(std::move(fd)) {}

    UniqueFd fd_;
};

struct HttpHead {
    int status = 0;
    std::string text;  ///< Status line and headers.

    /// The value of a header, "" without it. `name` in lower case.
    std::string header(std::string_view name) const;
};

/// Takes a complete head out of `buffer`; what follows it stays there. Nothing while it is not complete.
/// Errors: invalid (not HTTP, or longer than 64 KiB).
Result<std::optional<HttpHead>> take_head(std::string& buffer);

/// Receives until the head is complete and takes it out of `buffer`; what follows it stays there. Bound: 64 KiB.
Result<HttpHead> receive_head(PlainSocket& socket, std::string& buffer, Deadline deadline);

}  // namespace boardbus::cli

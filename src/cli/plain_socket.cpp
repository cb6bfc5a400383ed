// SPDX-License-Identifier: Apache-2.0
#include "cli/plain_socket.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/options_table_rules.h"
#include "transport/url.h"

namespace boardbus::cli {
namespace {

constexpr std::size_t kHeadMost = 64 * 1024;

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

Result<void> wait_for(int fd, short events, Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd watched = {fd, events, 0};
        const int ready = ::poll(&watched, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready > 0) {
            return {};
        }
        if (ready == 0) {
            return fail(Errc::timeout, "no answer in time");
        }
        if (errno != EINTR) {
            return fail(Errc::unavailable, std::strerror(errno));
        }
    }
}

/// Connects to one address; errno tells why it did not work.
Result<UniqueFd> connect_to(const addrinfo& address, Deadline deadline) {
    UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) {
        return fail(Errc::unavailable, std::strerror(errno));
    }
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
        if (errno != EINPROGRESS) {
            return fail(Errc::unavailable, std::strerror(errno));
        }
        if (auto ready = wait_for(fd.get(), POLLOUT, deadline); !ready) {
            return std::unexpected(ready.error());
        }
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            return fail(Errc::unavailable, std::strerror(error));
        }
    }
    return fd;
}

}  // namespace

std::string HttpUrl::authority() const {
    return (host.contains(':') ? "[" + host + "]" : host) + ":" + port;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
    if (text.starts_with("https://") || text.starts_with("wss://")) {
        return fail(Errc::invalid, "https is not supported by this command yet; use the app's own port with http://");
    }
    const auto wrong = fail(Errc::invalid, "the URL must be http://host[:port]");
    if (!text.starts_with("http://")) {
        return wrong;
    }
    text.remove_prefix(7);
    HttpUrl url;
    const auto slash = std::min(text.find('/'), text.size());
    url.path = text.substr(slash);
    while (url.path.ends_with('/')) {
        url.path.pop_back();
    }
    auto authority = text.substr(0, slash);
    const auto bracket = authority.starts_with('[') ? authority.find(']') : 0;
    if (bracket == std::string_view::npos) {
        return wrong;
    }
    const auto colon = authority.find(':', bracket);
    url.host = bracket == 0 ? authority.substr(0, colon) : authority.substr(1, bracket - 1);
    if (colon != std::string_view::npos) {
        url.port = authority.substr(colon + 1);
    }
    const auto port = parse_integer(url.port);
    const bool plain_path =
        std::ranges::all_of(url.path, [](char c) { return c > ' ' && c < 0x7F && c != '?' && c != '#'; });
    if (!transport::is_host(url.host) || !port || *port < 1 || *port > 65535 || !plain_path) {
        return wrong;
    }
    return url;
}

Result<PlainSocket> PlainSocket::connect(const HttpUrl& url, Deadline deadline) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found); error != 0) {
        return fail(Errc::unavailable, url.host + ": " + ::gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
    Error last;
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
        auto fd = connect_to(*address, deadline);
        if (fd) {
            return PlainSocket(std::move(*fd));
        }
        last = {fd.error().code, url.authority() + ": " + fd.error().detail};
    }
    return std::unexpected(last);
}

Result<void> PlainSocket::send(std::string_view bytes, Deadline deadline) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            if (auto ready = wait_for(fd_.get(), POLLOUT, deadline); !ready) {
                return ready;
            }
        } else if (errno != EINTR) {
            return fail(Errc::unavailable, std::strerror(errno));
        }
    }
    return {};
}

Result<void> PlainSocket::receive(std::string& buffer, Deadline deadline) {
    std::array<char, 16 * 1024> bytes;
    for (;;) {
        const auto got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
        if (got > 0) {
            buffer.append(bytes.data(), static_cast<std::size_t>(got));
            return {};
        }
        if (got == 0) {
            return fail(Errc::closed, "the connection was closed");
        }
        if (errno == EAGAIN) {
            if (auto ready = wait_for(fd_.get(), POLLIN, deadline); !ready) {
                return ready;
            }
        } else if (errno != EINTR) {
            return fail(Errc::unavailable, std::strerror(errno));
        }
    }
}

std::string HttpHead::header(std::string_view name) const {
    const std::string wanted = "\r\n" + std::string(name) + ":";
    const auto found = lower(text).find(wanted);
    if (found == std::string::npos) {
        return {};
    }
    const auto start = found + wanted.size();
    return std::string(trimmed(std::string_view(text).substr(start, text.find("\r\n", start) - start)));
}

Result<std::optional<HttpHead>> take_head(std::string& buffer) {
    const auto end = buffer.find("\r\n\r\n");
    if (end == std::string::npos) {
        if (buffer.size() > kHeadMost) {
            return fail(Errc::invalid, "the answer's head is longer than 64 KiB");
        }
        return std::nullopt;
    }
    HttpHead head;
    head.text = buffer.substr(0, end + 2);
    buffer.erase(0, end + 4);
    // HTTP/1.1 200 OK
    const auto status = head.text.starts_with("HTTP/1.") && head.text.size() > 12
                            ? parse_integer(std::string_view(head.text).substr(9, 3))
                            : std::nullopt;
    if (!status) {
        return fail(Errc::invalid, "the answer is not HTTP");
    }
    head.status = static_cast<int>(*status);
    return head;
}

Result<HttpHead> receive_head(PlainSocket& socket, std::string& buffer, Deadline deadline) {
    for (;;) {
        auto head = take_head(buffer);
        if (!head) {
            return std::unexpected(head.error());
        }
        if (*head) {
            return std::move(**head);
        }
        if (auto received = socket.receive(buffer, deadline); !received) {
            return std::unexpected(received.error());
        }
    }
}

}  // namespace boardbus::cli

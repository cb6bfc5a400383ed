// SPDX-License-Identifier: Apache-2.0
#include "web/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace boardbus::web {
namespace {

// The kernel cuts it to net.core.somaxconn (4096 by default).
constexpr int kBacklog = 4096;

// 256 accepts × 10 µs = 2.5 ms: events of this turn should not wait longer for a storm of new connections.
constexpr int kAcceptsPerTurn = 256;

bool set(int fd, int level, int option) {
    const int one = 1;
    return ::setsockopt(fd, level, option, &one, sizeof one) == 0;
}

/// No socket, and errno, when it cannot be had.
UniqueFd bind_socket(const addrinfo& address, Door door) {
    UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    // Accepted sockets inherit TCP_NODELAY: one call less for each. Without it a lone small frame waits 44 ms for an
    // ACK.
    const bool good = fd && set(fd.get(), SOL_SOCKET, SO_REUSEADDR) && set(fd.get(), IPPROTO_TCP, TCP_NODELAY) &&
                      (door == Door::first || set(fd.get(), SOL_SOCKET, SO_REUSEPORT)) &&
                      ::bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0;
    return good ? std::move(fd) : UniqueFd();
}

}  // namespace

Result<UniqueFd> open_listener(const std::string& host, std::uint16_t port, Door door) {
    const std::string where = host + ":" + std::to_string(port);
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0) {
        return fail(Errc::invalid, where + ": " + ::gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
    // A socket that does not share is refused where any other listens, also one that does.
    const bool is_free = door == Door::another || bind_socket(*found, Door::first);
    UniqueFd fd = is_free ? bind_socket(*found, Door::another) : UniqueFd();
    if (!fd || ::listen(fd.get(), kBacklog) != 0) {
        return fail(Errc::unavailable, where + ": " + std::strerror(errno));
    }
    return fd;
}

std::uint16_t bound_port(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                               : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

Listener::Listener(Loop& loop, UniqueFd socket, OnAccepted on_accepted)
    : loop_(loop),
      socket_(std::move(socket)),
      spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
      on_accepted_(std::move(on_accepted)) {
    loop_.add(socket_.get(), EPOLLIN, *this);
}

Listener::~Listener() {
    loop_.remove(socket_.get(), *this);
}

void Listener::on_ready(std::uint32_t) {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        UniqueFd fd(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd) {
            on_accepted_(std::move(fd), Address::of(peer));
        } else if (errno == EMFILE || errno == ENFILE) {
            refuse_one();
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

void Listener::refuse_one() {
    // Left in the queue, the connection would make this socket ready for ever and its client wait for ever.
    spare_.reset();
    spare_.reset(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    spare_.reset();
    spare_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace boardbus::web

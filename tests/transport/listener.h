// Ports for tests: one with a server that does no more than listen, and one for a server that the test starts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "transport/stream.h"

namespace boardbus::transport {

/// A free port of 127.0.0.1, taken as long as this lives: the kernel gives it to nobody who asks for any, nor to a connection. A server that
/// names it may listen there, given SO_REUSEADDR on both sides, because nobody does yet (socket(7)).
class ReservedPort {
  public:
    ReservedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        const int on = 1;
        EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        number_ = ntohs(address.sin_port);
    }
    std::uint16_t number() const { return number_; }
    int fd() const { return fd_.get(); }
    void free() { fd_.reset(); }

  private:
    UniqueFd fd_;
    std::uint16_t number_ = 0;
};

/// A port of 127.0.0.1 with a backlog.
class Listener {
  public:
    Listener() { EXPECT_EQ(::listen(port_.fd(), 16), 0); }
    Endpoint endpoint(std::string host = "127.0.0.1") const {
        return {.host = std::move(host), .port = port_.number()};
    }
    /// Turns `loop` until somebody has connected.
    UniqueFd accept(Loop& loop) const {
        UniqueFd client;
        for (int turns = 0; turns < 1000 && !client; ++turns) {
            loop.turn(std::chrono::milliseconds(turns == 0 ? 0 : 5));
            client.reset(::accept(port_.fd(), nullptr, nullptr));
        }
        EXPECT_TRUE(client);
        return client;
    }
    void stop() { port_.free(); }

  private:
    ReservedPort port_;
};

}  // namespace boardbus::transport

// A server's port for tests: bound, listening, never more than that.
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

/// A port of 127.0.0.1 with a backlog.
class Listener {
  public:
    Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(fd_.get(), 16), 0);
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    Endpoint endpoint(std::string host = "127.0.0.1") const { return {.host = std::move(host), .port = port_}; }
    /// Turns `loop` until somebody has connected.
    UniqueFd accept(Loop& loop) const {
        UniqueFd client;
        for (int turns = 0; turns < 1000 && !client; ++turns) {
            loop.turn(std::chrono::milliseconds(turns == 0 ? 0 : 5));
            client.reset(::accept(fd_.get(), nullptr, nullptr));
        }
        EXPECT_TRUE(client);
        return client;
    }
    void stop() { fd_.reset(); }

  private:
    UniqueFd fd_;
    std::uint16_t port_ = 0;
};

}  // namespace boardbus::transport

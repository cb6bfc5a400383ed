// Readers whose socket takes everything for ever, for programs that count what a delivery costs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "hub/reader.h"

namespace boardbus::hub {

/// Ends the program when it did not do what is to be counted.
inline void require(bool claim, const char* what) {
    if (!claim) {
        std::fprintf(stderr, "not counted: %s\n", what);
        std::exit(1);
    }
}

/// A datagram socket of this machine that nobody reads: the kernel drops what does not fit, so that a socket connected to
/// it takes every send() whole and for ever, through the same code as a stream that keeps up.
class Drain {
  public:
    Drain() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address_;
        auto* const address = reinterpret_cast<sockaddr*>(&address_);
        require(::bind(fd_.get(), address, size) == 0 && ::getsockname(fd_.get(), address, &size) == 0, "no loopback");
    }

    UniqueFd connect() const {
        UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        require(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0, "no loopback");
        return fd;
    }

  private:
    UniqueFd fd_;
    sockaddr_in address_{};
};

class DrainedReader final : public Reader {
  public:
    DrainedReader(Shard& shard, const Drain& drain) : Reader(shard, drain.connect(), Form::ws) {}
    void on_ready(std::uint32_t) override {}
    void on_trouble(Trouble) override { require(false, "a reader is in trouble"); }
    void on_notice(std::string_view, const EncodedNotice&) override { require(false, "the stream broke"); }
};

}  // namespace boardbus::hub

// The door: a listening socket on each loop, the same port on all (SO_REUSEPORT), so that the kernel spreads
// connections over the loops.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "web/client_address.h"

namespace boardbus::web {

/// The loops of one process share a port; two processes must not, though the kernel would let them.
enum class Door {
    first,    ///< Somebody who listens there already is an error.
    another,  ///< Beside the first.
};

/// Opens a listening socket; port 0 takes a free one. `host` is an address or a name. Blocks while a name is looked up:
/// at start only. Errors: invalid, for a name that is none; unavailable, when the port is taken or not allowed.
Result<UniqueFd> open_listener(const std::string& host, std::uint16_t port, Door door = Door::another);

/// The port a socket is bound to.
std::uint16_t bound_port(int fd);

/// Accepts until told to stop. Lives on its loop.
class Listener final : public Watcher {
  public:
    /// Called with each new connection; it is non-blocking and has TCP_NODELAY.
    using OnAccepted = std::function<void(UniqueFd fd, const Address& peer)>;

    Listener(Loop& loop, UniqueFd socket, OnAccepted on_accepted);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    void on_ready(std::uint32_t events) override;

  private:
    void refuse_one();

    Loop& loop_;
    UniqueFd socket_;
    UniqueFd
        spare_;  // Given up for a moment when the process has no descriptor left, to take a connection and close it.
    OnAccepted on_accepted_;
};

}  // namespace boardbus::web

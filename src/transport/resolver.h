// Host names to addresses without stopping the loop.
//
// getaddrinfo() blocks, for seconds when the name server is away, so it runs on a thread of its own that posts its answer back. One
// Resolver has at most one such thread: a question that is given up while the system still looks for the answer is not asked again
// beside it. Lives on the loop; only the lookup itself is elsewhere.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/result.h"

namespace boardbus::transport {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

/// The address that `host` spells (IPv4 or IPv6 without brackets); nothing when it is a name.
std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port);

class Resolver {
  public:
    using Done = std::move_only_function<void(Result<std::vector<SocketAddress>>)>;

    explicit Resolver(Loop& loop);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    /// Does not wait for a lookup that is under way; nobody is called any more.
    ~Resolver();

    /// Looks `host` up and calls `done` in a later turn, unless cancel() or another resolve() comes first. At most 8 addresses, in the
    /// system's order of preference. Errors: unavailable.
    void resolve(std::string host, std::uint16_t port, Done done);
    void cancel() { wanted_.reset(); }

  private:
    struct Question {
        std::string host;
        std::uint16_t port = 0;
        Done done;
    };
    struct Mailbox;

    void look_up();
    void on_answer(const std::string& host, std::uint16_t port, Result<std::vector<SocketAddress>> answer);

    std::optional<Question> wanted_;
    bool looking_ = false;
    std::shared_ptr<Mailbox> mailbox_;  // Outlives this object while a lookup is under way.
};

}  // namespace boardbus::transport

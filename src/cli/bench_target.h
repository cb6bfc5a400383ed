// The server that `boardbus bench` loads, and whether this machine can open as many connections to it.
//
// One address and one port of ours make one connection; towards a loopback server every address of 127.0.0.0/8 is ours, so connections
// are spread over as many as they need. Used before the run; blocking.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <string>

#include "base/result.h"

namespace boardbus::cli {

struct BenchTarget {
    std::string authority;  ///< As a Host header has it.
    std::string path;       ///< What comes before the server's own paths; often empty.
    std::string token;
    sockaddr_storage address{};
    socklen_t address_bytes = 0;
    std::size_t sources = 1;  ///< Loopback addresses to connect from, 127.0.0.1 first.
    std::string key;          ///< Sec-WebSocket-Key of all handshakes of this run.
    std::string accept;       ///< The right answer to it.
};

/// What this machine has for one run.
struct BenchRoom {
    std::size_t descriptors = 0;
    std::size_t ports = 0;  ///< Of one address of ours.
    bool loopback = false;  ///< The server is in 127.0.0.0/8.
};

/// From how many addresses `connections` have to come. Errors: overloaded, which names the number, the limit and the setting.
Result<std::size_t> sources_for(std::size_t connections, const BenchRoom& room);

/// Connects once to `url` (http or ws), raises the limit of open files and looks whether there is room for `connections`.
/// Errors: invalid (the URL), unavailable, timeout, overloaded.
Result<BenchTarget> find_bench_target(const std::string& url, const std::string& token, std::size_t connections);

}  // namespace boardbus::cli

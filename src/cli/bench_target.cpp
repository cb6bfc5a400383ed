// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_target.h"

#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include "base/random.h"
#include "cli/plain_socket.h"
#include "cli/process.h"
#include "web/ws_handshake.h"

namespace boardbus::cli {
namespace {

constexpr std::chrono::seconds kProbeTimeout{10};
// Standard streams, epoll, timers, signals, resolver.
constexpr std::size_t kReservedDescriptors = 32;
// A port may still be in TIME_WAIT or somebody else's: a fifth of them is left free.
constexpr std::size_t kPortsInFive = 4;
// 127.0.0.1 to 127.0.0.250 stay in one byte; times 22,000 ports they are 5.6 million connections.
constexpr std::size_t kSourcesMax = 250;

std::size_t local_ports() {
    std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
    std::size_t first = 32768;
    std::size_t last = 60999;
    file >> first >> last;
    return last >= first ? last - first + 1 : 0;
}

bool is_loopback(const sockaddr_storage& address) {
    if (address.ss_family != AF_INET) {
        return false;
    }
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

}  // namespace

Result<std::size_t> sources_for(std::size_t connections, const BenchRoom& room) {
    const std::string wanted = std::to_string(connections) + " connections need ";
    if (connections + kReservedDescriptors > room.descriptors) {
        return fail(Errc::overloaded, wanted + std::to_string(connections + kReservedDescriptors) +
                                          " open files, and the limit is " + std::to_string(room.descriptors) +
                                          " (ulimit -Hn, LimitNOFILE)");
    }
    const std::size_t sources_max = room.loopback ? kSourcesMax : 1;
    if (connections > room.ports * sources_max) {
        return fail(Errc::overloaded, wanted + "as many local ports, and towards this server there are " +
                                          std::to_string(room.ports * sources_max) + " (net.ipv4.ip_local_port_range)");
    }
    // A single address may use all of its ports: what then fails is counted as refused.
    const std::size_t usable = std::max<std::size_t>(1, room.ports / 5 * kPortsInFive);
    return std::clamp<std::size_t>((connections + usable - 1) / usable, 1, sources_max);
}

Result<BenchTarget> find_bench_target(const std::string& url, const std::string& token, std::size_t connections) {
    const auto parsed = parse_http_url(url.starts_with("ws://") ? "http" + url.substr(2) : url);
    if (!parsed) {
        return std::unexpected(parsed.error());
    }
    BenchTarget target{.authority = parsed->authority(), .path = parsed->path, .token = token};
    const auto probe = PlainSocket::connect(*parsed, std::chrono::steady_clock::now() + kProbeTimeout);
    if (!probe) {
        return std::unexpected(probe.error());
    }
    target.address_bytes = sizeof target.address;
    if (::getpeername(probe->fd(), reinterpret_cast<sockaddr*>(&target.address), &target.address_bytes) != 0) {
        return fail(Errc::unavailable, parsed->authority() + ": " + std::strerror(errno));
    }
    const auto sources = sources_for(connections, {raise_file_limit(), local_ports(), is_loopback(target.address)});
    if (!sources) {
        return std::unexpected(sources.error());
    }
    target.sources = *sources;
    // 16 bytes in base64: 22 digits, the last with four zero bits, and the padding. Hexadecimal digits are base64 digits, too.
    std::string digits = random_uuid();
    std::erase(digits, '-');
    target.key = digits.substr(0, 21) + "A==";
    target.accept = web::websocket_accept(target.key);
    return target;
}

}  // namespace boardbus::cli

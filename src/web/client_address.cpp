// See client_address.h.
// SPDX-License-Identifier: Apache-2.0
#include "web/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace boardbus::web {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Takes the port off 192.0.2.1:4711, [2001:db8::1]:4711 and the brackets off [2001:db8::1].
std::string_view without_port(std::string_view entry) {
    if (entry.starts_with('[')) {
        const auto end = entry.find(']');
        return end == std::string_view::npos ? std::string_view() : entry.substr(1, end - 1);
    }
    const auto colon = entry.find(':');
    const bool is_v4_with_port =
        colon != std::string_view::npos && entry.find(':', colon + 1) == std::string_view::npos;
    return is_v4_with_port ? entry.substr(0, colon) : entry;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view text) {
    // inet_pton wants a terminated text and would stop at a NUL inside.
    char terminated[INET6_ADDRSTRLEN] = {};
    if (text.empty() || text.size() >= sizeof terminated || text.contains('\0')) {
        return std::nullopt;
    }
    std::memcpy(terminated, text.data(), text.size());

    Address address;
    if (text.contains(':')) {
        return inet_pton(AF_INET6, terminated, address.bytes_.data()) == 1 ? std::optional(address) : std::nullopt;
    }
    std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes_.begin());
    return inet_pton(AF_INET, terminated, address.bytes_.data() + kMappedPrefix.size()) == 1 ? std::optional(address)
                                                                                             : std::nullopt;
}

Address Address::of(const sockaddr_storage& peer) {
    Address address;
    if (peer.ss_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &peer, sizeof v6);
        std::memcpy(address.bytes_.data(), &v6.sin6_addr, address.bytes_.size());
    } else if (peer.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &peer, sizeof v4);
        std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), address.bytes_.begin());
        std::memcpy(address.bytes_.data() + kMappedPrefix.size(), &v4.sin_addr, sizeof v4.sin_addr);
    }
    return address;
}

bool Address::is_v4() const {
    return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

bool Address::is_loopback() const {
    if (is_v4()) {
        return bytes_[kMappedPrefix.size()] == 127;
    }
    return bytes_[15] == 1 &&
           std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

std::string Address::text() const {
    char out[INET6_ADDRSTRLEN] = {};
    if (is_v4()) {
        inet_ntop(AF_INET, bytes_.data() + kMappedPrefix.size(), out, sizeof out);
    } else {
        inet_ntop(AF_INET6, bytes_.data(), out, sizeof out);
    }
    return out;
}

Result<Cidr> Cidr::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address_text = text.substr(0, slash);
    const auto address = Address::parse(address_text);
    if (!address) {
        return fail(Errc::invalid, "'" + std::string(text) +
                                       "' is not an address block; allowed: 10.0.0.0/8, 2001:db8::/32, 192.0.2.7");
    }
    const int widest = address_text.contains(':') ? 128 : 32;
    Cidr block;
    block.first_ = *address;
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        int bits = -1;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
        if (error != std::errc() || end != digits.data() + digits.size() || bits < 0 || bits > widest) {
            return fail(Errc::invalid,
                        "'" + std::string(text) + "' has no prefix length from 0 to " + std::to_string(widest));
        }
        block.bits_ = 128 - widest + bits;
    }
    for (int bit = block.bits_; bit < 128; ++bit) {
        if ((block.first_.bytes_[static_cast<std::size_t>(bit / 8)] >> (7 - bit % 8)) & 1) {
            return fail(Errc::invalid, "'" + std::string(text) + "' has bits set beyond its prefix length");
        }
    }
    return block;
}

bool Cidr::contains(const Address& address) const {
    const auto whole = static_cast<std::size_t>(bits_ / 8);
    if (!std::equal(first_.bytes_.begin(), first_.bytes_.begin() + static_cast<std::ptrdiff_t>(whole),
                    address.bytes_.begin())) {
        return false;
    }
    const int rest = bits_ % 8;
    return rest == 0 || ((first_.bytes_[whole] ^ address.bytes_[whole]) >> (8 - rest)) == 0;
}

bool is_trusted_proxy(const Address& peer, const std::vector<Cidr>& trusted) {
    return std::any_of(trusted.begin(), trusted.end(), [&](const Cidr& block) { return block.contains(peer); });
}

Address client_address(const Address& peer, std::string_view x_forwarded_for, const std::vector<Cidr>& trusted) {
    Address client = peer;
    auto rest = x_forwarded_for;
    while (is_trusted_proxy(client, trusted) && !rest.empty()) {
        const auto comma = rest.rfind(',');
        const auto entry = comma == std::string_view::npos ? rest : rest.substr(comma + 1);
        const auto hop = Address::parse(without_port(trimmed(entry)));
        if (!hop) {
            break;
        }
        client = *hop;
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(0, comma);
    }
    return client;
}

}  // namespace boardbus::web

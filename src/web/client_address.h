// Who is asking: the address that rate limits count by.
//
// That is the peer's, unless the peer is a proxy that the operator trusts; then it is the rightmost address of
// X-Forwarded-For that is not a trusted proxy itself (everything left of it may be invented by the client). Pure; any
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace boardbus::web {

/// An IP address. IPv4 is kept as IPv4-mapped IPv6, so that ::ffff:192.0.2.1 and 192.0.2.1 are the same client.
class Address {
  public:
    /// `::` until something is assigned.
    Address() = default;

    /// 192.0.2.1, 2001:db8::1, ::ffff:192.0.2.1; no port, no zone, no brackets.
    static std::optional<Address> parse(std::string_view text);

    /// The address of an accepted peer; `::` for a family that is not IP.
    static Address of(const sockaddr_storage& peer);

    bool is_v4() const;

    /// 127.0.0.0/8 or ::1.
    bool is_loopback() const;

    std::string text() const;

    bool operator==(const Address&) const = default;

  private:
    friend class Cidr;
    std::array<std::uint8_t, 16> bytes_{};
};

/// A block of addresses: 10.0.0.0/8, 2001:db8::/32, or one address alone.
class Cidr {
  public:
    /// Errors: invalid, with the text and what is wrong with it (host bits beyond the prefix are refused: they are
    /// typing errors).
    static Result<Cidr> parse(std::string_view text);

    bool contains(const Address& address) const;

  private:
    Address first_;
    int bits_ = 128;  // Of the 128, so an IPv4 /8 is 96 + 8.
};

bool is_trusted_proxy(const Address& peer, const std::vector<Cidr>& trusted);

/// The address to count by. `x_forwarded_for` is the header's value, several joined with a comma in their order; ""
/// when absent. An entry that is no address ends the search: the hop that reported it is the client.
Address client_address(const Address& peer, std::string_view x_forwarded_for, const std::vector<Cidr>& trusted);

}  // namespace boardbus::web

// SPDX-License-Identifier: Apache-2.0
#include "web/client_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace boardbus::web {
namespace {

Address address(std::string_view text) {
    const auto parsed = Address::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(Address());
}

std::vector<Cidr> blocks(std::initializer_list<std::string_view> texts) {
    std::vector<Cidr> out;
    for (const auto text : texts) {
        const auto block = Cidr::parse(text);
        EXPECT_TRUE(block) << text;
        out.push_back(block.value_or(Cidr()));
    }
    return out;
}

TEST(Address, TakesMappedAndPlainIPv4ForTheSameClient) {
    EXPECT_EQ(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    EXPECT_EQ(address("::ffff:192.0.2.1").text(), "192.0.2.1");
    EXPECT_NE(address("::192.0.2.1"), address("192.0.2.1"));
}

TEST(Address, WritesIPv6InItsShortForm) {
    EXPECT_EQ(address("2001:DB8:0:0::1").text(), "2001:db8::1");
}

TEST(Address, RefusesWhatIsNoAddress) {
    using namespace std::string_view_literals;
    for (const auto text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "01.2.3.4", "::g", "1.2.3.4:80", "[::1]",
                            "fe80::1%eth0", "localhost", "unknown", "::1::"}) {
        EXPECT_FALSE(Address::parse(text)) << text;
    }
    EXPECT_FALSE(Address::parse("1.2.3.4\0"sv));
    EXPECT_FALSE(Address::parse(std::string(5000, '1')));
}

TEST(Address, ReadsTheAcceptedPeer) {
    sockaddr_storage peer{};
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    inet_pton(AF_INET, "198.51.100.9", &v4.sin_addr);
    std::memcpy(&peer, &v4, sizeof v4);
    EXPECT_EQ(Address::of(peer).text(), "198.51.100.9");

    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
    std::memcpy(&peer, &v6, sizeof v6);
    EXPECT_EQ(Address::of(peer).text(), "2001:db8::7");

    peer.ss_family = AF_UNIX;
    EXPECT_EQ(Address::of(peer), Address());
}

TEST(Address, KnowsLoopback) {
    EXPECT_TRUE(address("127.0.0.1").is_loopback());
    EXPECT_TRUE(address("127.8.9.10").is_loopback());
    EXPECT_TRUE(address("::1").is_loopback());
    EXPECT_TRUE(address("::ffff:127.0.0.1").is_loopback());
    EXPECT_FALSE(address("128.0.0.1").is_loopback());
    EXPECT_FALSE(address("::").is_loopback());
    EXPECT_FALSE(address("2001:db8::1").is_loopback());
}

TEST(Cidr, ContainsItsBlockAndNothingElse) {
    const auto v4 = Cidr::parse("172.16.0.0/12").value();
    EXPECT_TRUE(v4.contains(address("172.16.0.0")));
    EXPECT_TRUE(v4.contains(address("172.31.255.255")));
    EXPECT_TRUE(v4.contains(address("::ffff:172.20.1.1")));
    EXPECT_FALSE(v4.contains(address("172.15.255.255")));
    EXPECT_FALSE(v4.contains(address("172.32.0.0")));

    const auto v6 = Cidr::parse("2001:db8::/33").value();
    EXPECT_TRUE(v6.contains(address("2001:db8:7fff::1")));
    EXPECT_FALSE(v6.contains(address("2001:db8:8000::1")));
}

TEST(Cidr, IsOneAddressWithoutAPrefix) {
    const auto one = Cidr::parse("192.0.2.7").value();
    EXPECT_TRUE(one.contains(address("192.0.2.7")));
    EXPECT_FALSE(one.contains(address("192.0.2.6")));
    EXPECT_TRUE(Cidr::parse("::1").value().contains(address("::1")));
}

TEST(Cidr, KeepsAllOfIPv4ApartFromIPv6) {
    const auto all_v4 = Cidr::parse("0.0.0.0/0").value();
    EXPECT_TRUE(all_v4.contains(address("8.8.8.8")));
    EXPECT_FALSE(all_v4.contains(address("2001:db8::1")));
    EXPECT_TRUE(Cidr::parse("::/0").value().contains(address("2001:db8::1")));
}

TEST(Cidr, NamesTheTextThatItRefuses) {
    for (const auto text : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.1/8", "2001:db8::/129",
                            "2001:db8::1/32", "ten/8", "", "/8", "10.0.0.0/8/8"}) {
        const auto block = Cidr::parse(text);
        ASSERT_FALSE(block) << text;
        EXPECT_NE(block.error().detail.find("'" + std::string(text) + "'"), std::string::npos) << block.error().detail;
    }
}

TEST(ClientAddress, IsThePeerWithoutTrustedProxies) {
    EXPECT_EQ(client_address(address("192.0.2.1"), "203.0.113.5", {}), address("192.0.2.1"));
}

TEST(ClientAddress, IgnoresTheHeaderOfAnUntrustedPeer) {
    EXPECT_EQ(client_address(address("192.0.2.1"), "203.0.113.5", blocks({"10.0.0.0/8"})), address("192.0.2.1"));
}

TEST(ClientAddress, TakesTheRightmostUntrustedHop) {
    const auto trusted = blocks({"10.0.0.0/8", "2001:db8::/32"});
    EXPECT_EQ(client_address(address("10.0.0.1"), "1.1.1.1, 203.0.113.5, 10.0.0.2", trusted), address("203.0.113.5"));
    EXPECT_EQ(client_address(address("2001:db8::1"), " 203.0.113.5 ", trusted), address("203.0.113.5"));
    EXPECT_EQ(client_address(address("10.0.0.1"), "", trusted), address("10.0.0.1"));
}

TEST(ClientAddress, IsTheFirstHopWhenAllAreTrusted) {
    EXPECT_EQ(client_address(address("10.0.0.1"), "10.0.0.3,10.0.0.2", blocks({"10.0.0.0/8"})), address("10.0.0.3"));
}

TEST(ClientAddress, AcceptsHopsWithPorts) {
    const auto trusted = blocks({"10.0.0.0/8"});
    EXPECT_EQ(client_address(address("10.0.0.1"), "203.0.113.5:4711", trusted), address("203.0.113.5"));
    EXPECT_EQ(client_address(address("10.0.0.1"), "[2001:db8::9]:4711", trusted), address("2001:db8::9"));
    EXPECT_EQ(client_address(address("10.0.0.1"), "2001:db8::9", trusted), address("2001:db8::9"));
}

TEST(ClientAddress, StopsAtAHopThatIsNoAddress) {
    const auto trusted = blocks({"10.0.0.0/8"});
    EXPECT_EQ(client_address(address("10.0.0.1"), "203.0.113.5, unknown, 10.0.0.2", trusted), address("10.0.0.2"));
    EXPECT_EQ(client_address(address("10.0.0.1"), "203.0.113.5, [::1", trusted), address("10.0.0.1"));
    EXPECT_EQ(client_address(address("10.0.0.1"), "203.0.113.5,", trusted), address("10.0.0.1"));
}

}  // namespace
}  // namespace boardbus::web

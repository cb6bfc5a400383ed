// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace boardbus::cli {
namespace {

using testing::HasSubstr;

constexpr BenchRoom kRoom{.descriptors = 1'000'000, .ports = 28'232, .loopback = true};

TEST(BenchTarget, OneAddressIsEnoughForFew) {
    EXPECT_EQ(sources_for(1, kRoom), 1U);
    EXPECT_EQ(sources_for(20'000, kRoom), 1U);
}

TEST(BenchTarget, ManyConnectionsToLoopbackComeFromSeveralAddresses) {
    const auto sources = sources_for(100'000, kRoom);

    ASSERT_TRUE(sources);
    EXPECT_GE(*sources * kRoom.ports, 100'000U);
    EXPECT_LE(*sources, 10U);
}

TEST(BenchTarget, OtherServersGetNoMoreThanTheLocalPorts) {
    BenchRoom room = kRoom;
    room.loopback = false;

    EXPECT_EQ(sources_for(28'232, room), 1U);
    const auto too_many = sources_for(28'233, room);
    ASSERT_FALSE(too_many);
    EXPECT_THAT(too_many.error().detail, HasSubstr("28233 connections"));
    EXPECT_THAT(too_many.error().detail, HasSubstr("ip_local_port_range"));
}

TEST(BenchTarget, NamesTheLimitOfOpenFiles) {
    BenchRoom room = kRoom;
    room.descriptors = 1024;

    EXPECT_EQ(sources_for(992, room), 1U);
    const auto too_many = sources_for(993, room);
    ASSERT_FALSE(too_many);
    EXPECT_THAT(too_many.error().detail, HasSubstr("1025 open files, and the limit is 1024"));
}

TEST(BenchTarget, AMachineWithoutPortsHasNoRoom) {
    EXPECT_FALSE(sources_for(1, {.descriptors = 100, .ports = 0, .loopback = true}));
}

TEST(BenchTarget, RefusesWhatItCannotSpeak) {
    for (const char* url : {"wss://h", "https://h", "ftp://h", "127.0.0.1:8004", ""}) {
        const auto target = find_bench_target(url, "t", 1);

        ASSERT_FALSE(target) << url;
        EXPECT_EQ(target.error().code, Errc::invalid) << url;
    }
}

}  // namespace
}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_stamp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "board/message.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;

TEST(BenchStamp, ComesBackAsItWasPut) {
    const BenchStamper stamper(0xC0FFEE);
    std::string message = stamper.message(100);

    for (const BenchStamp& stamp :
         {BenchStamp{0, 0, 0ns}, BenchStamp{65535, 1'000'000'000'000, 4'000'000'000'000'000ns},
          BenchStamp{7, 42, 1234567ns}}) {
        stamper.put(message, stamp);

        EXPECT_EQ(stamper.find(message), stamp);
        EXPECT_EQ(stamper.find("data: {\"id\":\"x\"," + message + "}"), stamp);
    }
}

TEST(BenchStamp, ThePayloadHasTheSizeThatWasAskedFor) {
    const BenchStamper stamper(1);

    for (const std::size_t bytes : {kBenchPayloadMin, kBenchPayloadMin + 1, std::size_t{60'000}}) {
        const std::string message = stamper.message(bytes);
        const auto payload = message.find(R"("payload":)") + 10;

        EXPECT_EQ(message.size() - 1 - payload, bytes);
        EXPECT_TRUE(board::parse_board_message(message)) << bytes;
    }
}

TEST(BenchStamp, IsNotFoundInForeignOrBrokenText) {
    const BenchStamper stamper(1);
    const BenchStamper other(2);
    std::string message = stamper.message(kBenchPayloadMin);
    stamper.put(message, {3, 4, 5ns});

    EXPECT_FALSE(other.find(message));
    EXPECT_FALSE(stamper.find(""));
    EXPECT_FALSE(stamper.find("{}"));
    for (std::size_t cut = 1; cut < message.size() - 3; ++cut) {
        EXPECT_FALSE(stamper.find(std::string_view(message).substr(0, message.size() - 3 - cut))) << cut;
    }
    message[message.size() - 4] = 'g';
    EXPECT_FALSE(stamper.find(message));
}

}  // namespace
}  // namespace boardbus::cli

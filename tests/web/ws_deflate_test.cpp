// SPDX-License-Identifier: Apache-2.0
#include "web/ws_deflate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

using namespace std::string_literals;

/// A text that DEFLATE cannot shorten.
std::string noise_of(std::size_t size) {
    std::mt19937 dice(7);
    std::string noise(size, '\0');
    std::ranges::generate(noise, [&dice] { return static_cast<char>(dice()); });
    return noise;
}

TEST(Deflater, WritesTheEmptyMessageAsOneByte_Rfc7692Section7_2_3_6) {
    EXPECT_EQ(Deflater().deflate(""), "\0"s);
}

TEST(Deflater, KeepsNothingBetweenMessages_Rfc7692Section7_1_1_1) {
    Deflater deflater;
    const std::string first(deflater.deflate("the same text"));

    EXPECT_EQ(deflater.deflate("the same text"), first);
}

TEST(Deflater, IsUndoneByTheInflaterForEverySize) {
    Deflater deflater;
    Inflater inflater;
    for (const std::size_t size : {0, 1, 100, 511, 513, 5000, 16383, 32768, 70'000, 1 << 20}) {
        for (const auto& text : {noise_of(size), std::string(size, 'a')}) {
            const std::string compressed(deflater.deflate(text));
            EXPECT_EQ(inflater.inflate(compressed, size), text) << size << " bytes";
        }
    }
}

TEST(Inflater, ForgetsEveryMessage) {
    // One inflater serves all clients of a loop: a back reference behind the start of a message must not show another's.
    Inflater inflater;
    Deflater deflater;
    ASSERT_TRUE(inflater.inflate(deflater.deflate("a secret of somebody else"), 100));

    // A fixed block: 10 bytes from 5 bytes back, the end of the block; then the empty block without its tail.
    EXPECT_EQ(inflater.inflate("\x42\x10\x00\x00"s, 100), std::unexpected(close_code::kBadText));
}

TEST(Inflater, StopsABombAtTheLimit) {
    Deflater deflater;
    Inflater inflater;
    const std::string bomb(deflater.deflate(std::string(64 << 20, '\0')));

    EXPECT_EQ(inflater.inflate(bomb, 1 << 20), std::unexpected(close_code::kTooBig));
    EXPECT_EQ(inflater.inflate(deflater.deflate(std::string(10, 'a')), 10), std::string(10, 'a'));
    EXPECT_EQ(inflater.inflate(deflater.deflate(std::string(11, 'a')), 10), std::unexpected(close_code::kTooBig));
}

}  // namespace
}  // namespace boardbus::web

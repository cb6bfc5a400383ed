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

constexpr std::string_view kBasicAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The answer's text, or "declined".
std::string answer(std::string_view offers) {
    const auto agreed = agree_on_deflate(offers);
    return agreed ? agreed->response : "declined";
}

TEST(AgreeOnDeflate, AlwaysAnswersWithoutContextTakeover_Rfc7692Section7_1_1) {
    for (const std::string_view offer : {
             "permessage-deflate",
             "permessage-deflate; client_max_window_bits",
             "permessage-deflate; client_max_window_bits=8",
             "permessage-deflate;client_max_window_bits=\"15\"",
             "permessage-deflate; server_no_context_takeover",
             "permessage-deflate; client_no_context_takeover ; server_no_context_takeover",
             " permessage-deflate\t;\tclient_max_window_bits = 10 ",
         }) {
        EXPECT_EQ(answer(offer), kBasicAnswer) << offer;
        EXPECT_EQ(agree_on_deflate(offer)->server_window_bits, 15);
    }
}

TEST(AgreeOnDeflate, HonoursTheServersWindow_Rfc7692Section7_1_2_1) {
    for (int bits = 9; bits <= 15; ++bits) {
        const auto agreed = agree_on_deflate("permessage-deflate; server_max_window_bits=" + std::to_string(bits));
        ASSERT_TRUE(agreed);
        EXPECT_EQ(agreed->server_window_bits, bits);
        EXPECT_EQ(agreed->response, std::string(kBasicAnswer) + "; server_max_window_bits=" + std::to_string(bits));
    }
    EXPECT_EQ(agree_on_deflate("permessage-deflate; server_max_window_bits=\"10\"")->server_window_bits, 10);
}

TEST(AgreeOnDeflate, DeclinesWhatItCannotHonourOrRead_Rfc7692Section7_1) {
    for (const std::string_view offer : {
             "",
             "x-webkit-deflate-frame",
             "permessage-deflate; server_max_window_bits=8",
             "permessage-deflate; server_max_window_bits",
             "permessage-deflate; server_max_window_bits=7",
             "permessage-deflate; server_max_window_bits=16",
             "permessage-deflate; server_max_window_bits=09",
             "permessage-deflate; server_max_window_bits=",
             "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
             "permessage-deflate; server_max_window_bits=\"10",
             "permessage-deflate; client_max_window_bits=16",
             "permessage-deflate; client_max_window_bits=0",
             "permessage-deflate; client_max_window_bits=",
             "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
             "permessage-deflate; client_no_context_takeover=1",
             "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
             "permessage-deflate; unknown",
             "permessage-deflate; server_max_window_bits=10; x=\"a,b\"",
             "permessage-deflate;",
             "permessage-deflate extra",
             "permessage-deflate; =",
             "=\"\"",
         }) {
        EXPECT_EQ(answer(offer), "declined") << offer;
    }
}

TEST(AgreeOnDeflate, TakesTheFirstOfferThatItCanHonour_Rfc7692Section5) {
    EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, "
                     "permessage-deflate"),
              std::string(kBasicAnswer) + "; server_max_window_bits=10");
    EXPECT_EQ(answer("foo; bar=\"a, b\", , permessage-deflate; unknown=1 ,permessage-deflate"), kBasicAnswer);
}

TEST(Deflater, WritesTheEmptyMessageAsOneByte_Rfc7692Section7_2_3_6) {
    EXPECT_EQ(Deflater().deflate(""), "\0"s);
}

TEST(Deflater, KeepsNothingBetweenMessages_Rfc7692Section7_1_1_1) {
    Deflater deflater;
    const std::string first(deflater.deflate("the same text"));

    EXPECT_EQ(deflater.deflate("the same text"), first);
}

TEST(Deflater, IsUndoneByTheInflaterForEveryWindowAndSize) {
    Deflater deflater;
    Inflater inflater;
    for (const std::size_t size : {0, 1, 100, 511, 513, 5000, 16383, 70'000, 1 << 20}) {
        for (const auto& text : {noise_of(size), std::string(size, 'a')}) {
            for (int bits = 9; bits <= 15; ++bits) {
                const std::string compressed(deflater.deflate(text, bits));
                EXPECT_EQ(inflater.inflate(compressed, size), text) << size << " bytes, window " << bits;
            }
        }
    }
}

TEST(Deflater, StaysInsideTheWindowItIsAskedFor) {
    // A text that repeats at a distance of 600 bytes shrinks in a window of 1024 and not in one of 512.
    const auto noise = noise_of(600);
    Deflater deflater;

    EXPECT_GT(deflater.deflate(noise + noise, 9).size(), 1150);
    EXPECT_LT(deflater.deflate(noise + noise, 11).size(), 700);
}

TEST(Inflater, ReadsTheExamplesOfRfc7692Section7_2_3) {
    Inflater inflater;
    const auto stored = "\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"s;
    const auto last_block = "\xF3\x48\xCD\xC9\xC9\x07\x00\x00"s;
    const auto two_blocks = "\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"s;

    EXPECT_EQ(inflater.inflate("\xF2\x48\xCD\xC9\xC9\x07\x00"s, 100), "Hello");
    EXPECT_EQ(inflater.inflate(stored, 100), "Hello");
    EXPECT_EQ(inflater.inflate(last_block, 100), "Hello");
    EXPECT_EQ(inflater.inflate(two_blocks, 100), "Hello");
    EXPECT_EQ(inflater.inflate("\0"s, 100), "");
}

TEST(Inflater, StopsABombAtTheLimit) {
    Deflater deflater;
    Inflater inflater;
    const std::string bomb(deflater.deflate(std::string(64 << 20, '\0')));

    EXPECT_EQ(inflater.inflate(bomb, 1 << 20), std::unexpected(close_code::kTooBig));
    EXPECT_EQ(inflater.inflate(deflater.deflate(std::string(10, 'a')), 10), std::string(10, 'a'));
    EXPECT_EQ(inflater.inflate(deflater.deflate(std::string(11, 'a')), 10), std::unexpected(close_code::kTooBig));
}

TEST(Inflater, RefusesGarbageAndTruncation) {
    Inflater inflater;
    EXPECT_EQ(inflater.inflate("\xFF\xFF\xFF", 100), std::unexpected(close_code::kBadText));
    EXPECT_EQ(inflater.inflate("\x00\x06\x00\xF9\xFF\x48"s, 100), std::unexpected(close_code::kBadText));
    EXPECT_EQ(inflater.inflate("\xF2\x48", 100), std::unexpected(close_code::kBadText));
    EXPECT_EQ(inflater.inflate("", 100), std::unexpected(close_code::kBadText));
    EXPECT_EQ(inflater.inflate("\xF2\x48\xCD\xC9\xC9\x07\x00"s, 100), "Hello") << "after failures";
}

}  // namespace
}  // namespace boardbus::web

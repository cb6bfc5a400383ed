// Texts and numbers of base/: UTF-8, identifiers, times, waits.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/utf8.h"

namespace boardbus {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

TEST(Utf8, TakesEveryLengthOfCharacter) {
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("plain ASCII that is longer than eight bytes"));
    EXPECT_TRUE(is_utf8(
        "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"));
}

// The rows of RFC 3629 §4 that must not pass: overlong forms, surrogates, beyond U+10FFFF, stray and missing bytes.
TEST(Utf8, RefusesWhatIsNoCharacter) {
    for (const std::string& bad : {"\x80"s, "\xBF"s, "\xC0\xAF"s, "\xC1\xBF"s, "\xE0\x9F\xBF"s, "\xED\xA0\x80"s,
                                   "\xED\xBF\xBF"s, "\xF0\x8F\xBF\xBF"s, "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s,
                                   "\xFF"s, "\xC2"s, "\xE2\x82"s, "\xF0\x9F\x98"s, "12345678\xC3("s}) {
        EXPECT_FALSE(is_utf8(bad)) << testing::PrintToString(bad);
    }
}

TEST(Utf8, SaysNoAtTheFirstImpossibleByteOfAStream) {
    Utf8Validator validator;

    EXPECT_TRUE(validator.feed("abc\xF0"));
    EXPECT_FALSE(validator.complete());
    EXPECT_TRUE(validator.feed("\x9F"));
    EXPECT_FALSE(validator.feed("("));
}

TEST(RandomUuid, IsOfVersionFourAndNeverTheSame) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = random_uuid();
        ASSERT_EQ(id.size(), 36U);
        EXPECT_EQ(id[14], '4');
        EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
        EXPECT_EQ(id[8], '-');
        EXPECT_EQ(id[23], '-');
        EXPECT_TRUE(seen.insert(id).second);
    }
}

TEST(Iso8601, WritesUtcWithMicroseconds) {
    const WallTime time{std::chrono::sys_days{std::chrono::year{2026} / 2 / 3} + 4h + 5min + 6s + 7us};

    EXPECT_EQ(iso_8601(time), "2026-02-03T04:05:06.000007Z");
}

TEST(Digest, IsThatOfTheStandardOneTextAfterAnother) {
    const auto hex = [](const auto& bytes) {
        std::string text;
        for (const std::uint8_t byte : bytes) {
            text += "0123456789abcdef"[byte >> 4];
            text += "0123456789abcdef"[byte & 15];
        }
        return text;
    };

    // The examples of FIPS 180-4: a text and the empty one.
    EXPECT_EQ(hex(sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    EXPECT_EQ(hex(sha1("")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Backoff, DoublesToItsCapAndStartsAnewAfterReset) {
    Backoff backoff(100ms, 350ms);

    EXPECT_EQ(backoff.next(0), 100ms);
    EXPECT_EQ(backoff.next(0), 200ms);
    EXPECT_EQ(backoff.next(0), 350ms);
    EXPECT_EQ(backoff.next(0), 350ms);
    backoff.reset();
    EXPECT_EQ(backoff.next(0), 100ms);
}

TEST(Backoff, ShortensByAtMostHalf) {
    Backoff backoff(100ms, 100ms);

    EXPECT_EQ(backoff.next(0.5), 75ms);
    EXPECT_GE(backoff.next(0.999), 50ms);
}

}  // namespace
}  // namespace boardbus

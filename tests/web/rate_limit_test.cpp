// SPDX-License-Identifier: Apache-2.0
#include "web/rate_limit.h"

#include <gtest/gtest.h>

namespace boardbus::web {
namespace {

using namespace std::chrono_literals;

constexpr Instant kStart{1000s};

TEST(RateLimitText, ReadsWhatTheLimitsLibraryReads) {
    const std::pair<std::string_view, RateLimit> cases[] = {
        {"120/minute", {120, 60s}},       {"10/second", {10, 1s}},       {"5 per minute", {5, 60s}},
        {"100/hour", {100, 3600s}},       {"1000/day", {1000, 86400s}},  {"10/5minute", {10, 300s}},
        {"10 per 5 minutes", {10, 300s}}, {" 7 / Minutes ", {7, 60s}},   {"1/2 days", {1, 172800s}},
        {"3/month", {3, 30 * 86400s}},    {"3/year", {3, 360 * 86400s}}, {"1 per 1 second", {1, 1s}},
    };
    for (const auto& [text, limit] : cases) {
        const auto parsed = parse_rate_limit(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(*parsed, limit) << text;
    }
}

TEST(RateLimitText, IsOffWhenBlank) {
    EXPECT_EQ(parse_rate_limit("").value(), std::nullopt);
    EXPECT_EQ(parse_rate_limit("  \t").value(), std::nullopt);
}

TEST(RateLimitText, SaysWhatIsAllowed) {
    for (const auto text : {"120", "120/", "/minute", "0/minute", "-1/minute", "x/minute", "1.5/minute", "10/fortnight",
                            "10/minutely", "10/0minute", "10/second;5/minute", "99999999999/second",
                            "1/999999999 years", "10 minute", "10//minute", "99999999999999999999/day"}) {
        const auto parsed = parse_rate_limit(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Errc::invalid);
        EXPECT_NE(parsed.error().detail.find("120/minute"), std::string::npos) << parsed.error().detail;
    }
}

TEST(MemoryRateLimits, AllowsTheCountAndRefusesTheNext) {
    MemoryRateLimits limits;
    const RateLimit limit{3, 60s};

    EXPECT_EQ(limits.count("default", "192.0.2.1", limit, kStart).remaining, 2);
    EXPECT_EQ(limits.count("default", "192.0.2.1", limit, kStart + 10s).remaining, 1);
    EXPECT_TRUE(limits.count("default", "192.0.2.1", limit, kStart + 20s).allowed);
    const auto refused = limits.count("default", "192.0.2.1", limit, kStart + 30s);

    EXPECT_FALSE(refused.allowed);
    EXPECT_EQ(refused.limit, 3);
    EXPECT_EQ(refused.remaining, 0);
    EXPECT_EQ(refused.resets_in, 30s);
}

TEST(MemoryRateLimits, BeginsANewWindowAPeriodAfterTheFirstRequest) {
    MemoryRateLimits limits;
    const RateLimit limit{1, 60s};
    limits.count("default", "a", limit, kStart);

    // Refused requests do not stretch the window.
    EXPECT_FALSE(limits.count("default", "a", limit, kStart + 59s).allowed);
    EXPECT_TRUE(limits.count("default", "a", limit, kStart + 60s).allowed);
    EXPECT_FALSE(limits.count("default", "a", limit, kStart + 61s).allowed);
}

TEST(MemoryRateLimits, CountsClientsAndScopesApart) {
    MemoryRateLimits limits;
    const RateLimit limit{1, 60s};

    EXPECT_TRUE(limits.count("default", "a", limit, kStart).allowed);
    EXPECT_TRUE(limits.count("default", "b", limit, kStart).allowed);
    EXPECT_TRUE(limits.count("stream", "a", limit, kStart).allowed);
    EXPECT_FALSE(limits.count("stream", "a", limit, kStart).allowed);
}

TEST(MemoryRateLimits, AnswersItsCallbackAtOnceAndOnce) {
    Loop loop;
    MemoryRateLimits limits;
    int calls = 0;

    limits.hit("default", "a", {1, 60s}, loop, [&](RateDecision decision) { calls += decision.allowed ? 1 : 100; });

    EXPECT_EQ(calls, 1);
}

TEST(MemoryRateLimits, ForgetsWindowsThatHaveEnded) {
    MemoryRateLimits limits;
    for (int client = 0; client < 10; ++client) {
        limits.count("default", std::to_string(client), {1, 60s}, kStart);
    }

    limits.count("default", "late", {1, 60s}, kStart + 60s);

    EXPECT_EQ(limits.size(), 1u);
}

TEST(MemoryRateLimits, DropsTheWindowThatEndsFirstWhenFull) {
    MemoryRateLimits limits(2);
    limits.count("default", "long", {1, 3600s}, kStart);
    limits.count("default", "short", {1, 60s}, kStart);

    limits.count("default", "new", {1, 60s}, kStart + 1s);

    EXPECT_EQ(limits.size(), 2u);
    EXPECT_FALSE(limits.count("default", "long", {1, 3600s}, kStart + 2s).allowed);
    EXPECT_TRUE(limits.count("default", "short", {1, 60s}, kStart + 2s).allowed);
}

TEST(MemoryRateLimits, StaysBoundedUnderAFloodOfAddresses) {
    MemoryRateLimits limits(100);
    for (int client = 0; client < 5000; ++client) {
        EXPECT_TRUE(
            limits.count("default", std::to_string(client), {1, 60s}, kStart + std::chrono::milliseconds(client))
                .allowed);
        EXPECT_LE(limits.size(), 100u);
    }
    EXPECT_EQ(limits.size(), 100u);
}

TEST(TokenBucket, AllowsABurstOfTheCountAndNoMore) {
    TokenBucket bucket;
    const RateLimit limit{7, 60s};
    for (int message = 0; message < 7; ++message) {
        EXPECT_TRUE(bucket.take(limit, kStart)) << message;
    }
    EXPECT_FALSE(bucket.take(limit, kStart));
}

TEST(TokenBucket, GivesTokensBackEvenly) {
    TokenBucket bucket;
    const RateLimit limit{2, 60s};
    bucket.take(limit, kStart);
    bucket.take(limit, kStart);

    EXPECT_EQ(bucket.wait(limit, kStart), 30s);
    EXPECT_FALSE(bucket.take(limit, kStart + 29s));
    EXPECT_TRUE(bucket.take(limit, kStart + 30s));
    EXPECT_FALSE(bucket.take(limit, kStart + 31s));
    EXPECT_EQ(bucket.wait(limit, kStart + 31s), 29s);
}

TEST(TokenBucket, SavesNoMoreThanTheBurst) {
    TokenBucket bucket;
    const RateLimit limit{2, 2s};
    bucket.take(limit, kStart);

    EXPECT_EQ(bucket.wait(limit, kStart + 3600s), 0s);
    EXPECT_TRUE(bucket.take(limit, kStart + 3600s));
    EXPECT_TRUE(bucket.take(limit, kStart + 3600s));
    EXPECT_FALSE(bucket.take(limit, kStart + 3600s));
}

TEST(TokenBucket, IsNotEmptiedByRefusals) {
    TokenBucket bucket;
    const RateLimit limit{1, 10s};
    bucket.take(limit, kStart);
    for (int tries = 0; tries < 50; ++tries) {
        EXPECT_FALSE(bucket.take(limit, kStart + 9s));
    }
    EXPECT_TRUE(bucket.take(limit, kStart + 10s));
}

}  // namespace
}  // namespace boardbus::web

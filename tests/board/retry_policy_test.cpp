// SPDX-License-Identifier: Apache-2.0
#include "board/retry_policy.h"

#include <gtest/gtest.h>

namespace boardbus::board {
namespace {

using namespace std::chrono_literals;

constexpr double kNoJitter = 0.5;

TEST(RetryPolicy, DoublesTheDelayWithEachAttempt) {
    const RetryPolicy policy{.delay_first = 5s, .delay_max = 300s};

    EXPECT_EQ(policy.delay(1, kNoJitter), 5s);
    EXPECT_EQ(policy.delay(2, kNoJitter), 10s);
    EXPECT_EQ(policy.delay(5, kNoJitter), 80s);
}

TEST(RetryPolicy, SpreadsTheDelayByTenPercent) {
    const RetryPolicy policy{.delay_first = 1s, .delay_max = 300s};

    EXPECT_EQ(policy.delay(1, 0.0), 900ms);
    EXPECT_EQ(policy.delay(1, 0.999999), 1099ms);
}

TEST(RetryPolicy, CapsTheDelayJitterIncluded) {
    const RetryPolicy policy{.delay_first = 5s, .delay_max = 12s};

    EXPECT_EQ(policy.delay(2, 0.999), 10998ms);
    EXPECT_EQ(policy.delay(3, 0.999), 12s);
    EXPECT_EQ(policy.delay(1'000'000, 0.999), 12s);
}

TEST(RetryPolicy, CountsWhatAHeaderClaimsWithinTheBounds) {
    const RetryPolicy policy{.retries_max = 5};

    EXPECT_EQ(policy.retries(-1), 0);
    EXPECT_EQ(policy.retries(INT64_MIN), 0);
    EXPECT_EQ(policy.retries(3), 3);
    EXPECT_EQ(policy.retries(6), 5);
    EXPECT_EQ(policy.retries(INT64_MAX), 5);
    EXPECT_EQ(RetryPolicy{.retries_max = 0}.retries(7), 0);
}

TEST(RetryPolicy, KeepsKeysUntilTheLastRetryIsOver) {
    const RetryPolicy standard;
    const RetryPolicy quick{.delay_first = 10ms, .delay_max = 1s, .retries_max = 5};
    const RetryPolicy capped{.delay_first = 100s, .delay_max = 150s, .retries_max = 3};

    EXPECT_EQ(standard.delays_total(), 155s);  // 5 + 10 + 20 + 40 + 80
    EXPECT_EQ(standard.horizon(), 430s);
    EXPECT_EQ(standard.idempotency_ttl(), 430s);
    EXPECT_EQ(quick.horizon(), 121s);  // 2 × 310 ms, rounded up, and two minutes.
    EXPECT_EQ(quick.idempotency_ttl(), 300s);
    EXPECT_EQ(capped.delays_total(), 400s);
    EXPECT_EQ((RetryPolicy{.retries_max = 0}.horizon()), 120s);
}

}  // namespace
}  // namespace boardbus::board

// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

#include <gtest/gtest.h>

namespace boardbus {
namespace {

using namespace std::chrono_literals;

TEST(Histogram, SaysNothingOfNothing) {
    const Histogram histogram;

    EXPECT_EQ(histogram.count(), 0U);
    EXPECT_EQ(histogram.quantile_us(0.99), 0);
    EXPECT_EQ(histogram.max_us(), 0);
}

TEST(Histogram, IsNeverOffByMoreThanItsBuckets) {
    for (std::int64_t value = 1; value < std::int64_t{1} << 50; value = value * 3 + 1) {
        Histogram histogram;
        histogram.add(std::chrono::nanoseconds(value));
        histogram.add(std::chrono::nanoseconds(std::int64_t{1} << 60));

        const double exact_us = static_cast<double>(value) / 1e3;
        EXPECT_GE(histogram.quantile_us(0.5), exact_us * 0.9999) << value;
        EXPECT_LE(histogram.quantile_us(0.5), exact_us * 1.016) << value;
    }
}

TEST(Histogram, QuantilesCountFromBelow) {
    Histogram histogram;
    for (int i = 1; i <= 1000; ++i) {
        histogram.add(std::chrono::milliseconds(i));
    }

    EXPECT_NEAR(histogram.quantile_us(0.5), 500e3, 500e3 * 0.016);
    EXPECT_NEAR(histogram.quantile_us(0.99), 990e3, 990e3 * 0.016);
    EXPECT_NEAR(histogram.quantile_us(0.999), 999e3, 999e3 * 0.016);
    EXPECT_EQ(histogram.quantile_us(1), 1000e3);
    EXPECT_EQ(histogram.max_us(), 1000e3);
}

TEST(Histogram, CountsBelowAPowerOfTwoExactly) {
    Histogram histogram;
    for (const auto value : {0ns, 1023ns, 1024ns, 1025ns, 1048575ns, 1048576ns}) {
        histogram.add(value);
    }

    EXPECT_EQ(histogram.count_below_power(0), 1U);
    EXPECT_EQ(histogram.count_below_power(10), 2U);
    EXPECT_EQ(histogram.count_below_power(11), 4U);
    EXPECT_EQ(histogram.count_below_power(20), 5U);
    EXPECT_EQ(histogram.count_below_power(63), 6U);
    EXPECT_EQ(histogram.count_below_power(64), 6U);
}

TEST(Histogram, ANegativeTimeIsNone) {
    Histogram histogram;

    histogram.add(-5s);

    EXPECT_EQ(histogram.count(), 1U);
    EXPECT_EQ(histogram.max_us(), 0);
}

}  // namespace
}  // namespace boardbus

// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_ledger.h"

#include <gtest/gtest.h>

#include <set>

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using Arrival = BenchArrivals::Arrival;

constexpr Instant kBegin{1h};
constexpr BenchSpan kSpan{kBegin, kBegin + 1s, kBegin + 3s};

TEST(BenchArrivals, OneAfterTheOtherIsInOrder) {
    BenchArrivals arrivals;

    EXPECT_EQ(arrivals.arrive(0), Arrival::in_order);
    EXPECT_EQ(arrivals.arrive(1), Arrival::in_order);
    EXPECT_EQ(arrivals.missing(2), 0U);
    EXPECT_EQ(arrivals.missing(5), 3U);
}

TEST(BenchArrivals, ALateOneFillsItsHoleOnce) {
    BenchArrivals arrivals;
    arrivals.arrive(4);

    EXPECT_EQ(arrivals.missing(5), 4U);
    EXPECT_EQ(arrivals.arrive(2), Arrival::late);
    EXPECT_EQ(arrivals.arrive(2), Arrival::doubled);
    EXPECT_EQ(arrivals.arrive(0), Arrival::late);
    EXPECT_EQ(arrivals.arrive(3), Arrival::late);
    EXPECT_EQ(arrivals.missing(5), 1U);
    EXPECT_EQ(arrivals.arrive(1), Arrival::late);
    EXPECT_EQ(arrivals.arrive(4), Arrival::doubled);
    EXPECT_EQ(arrivals.missing(5), 0U);
}

TEST(BenchArrivals, AgreesWithAPlainSetInAnyOrder) {
    std::uint64_t dice = 1;
    for (int round = 0; round < 200; ++round) {
        BenchArrivals arrivals;
        std::set<std::uint64_t> seen;
        std::uint64_t highest = 0;
        for (int i = 0; i < 60; ++i) {
            dice = dice * 6364136223846793005U + 1442695040888963407U;
            const std::uint64_t number = (dice >> 33) % 40;
            const bool fresh = seen.insert(number).second;
            const bool behind = seen.size() > 1 && number < highest;
            highest = std::max(highest, number);

            const Arrival arrival = arrivals.arrive(number);

            EXPECT_EQ(arrival, !fresh ? Arrival::doubled : behind ? Arrival::late : Arrival::in_order);
            EXPECT_EQ(arrivals.missing(40), 40 - seen.size());
        }
    }
}

TEST(BenchArrivals, ForgetsTheOldestHolesButNotThatTheyAreMissing) {
    BenchArrivals arrivals;
    for (std::uint64_t number = 1; number < 2001; number += 2) {
        EXPECT_EQ(arrivals.arrive(number), Arrival::in_order);
    }

    EXPECT_EQ(arrivals.missing(2000), 1000U);
    EXPECT_EQ(arrivals.arrive(1998), Arrival::late);
    EXPECT_EQ(arrivals.arrive(0), Arrival::doubled);
    EXPECT_EQ(arrivals.missing(2000), 999U);
}

TEST(BenchLedger, IsSettledWhenEverySubscriberOfTheBoardHasIt) {
    // Boards 0 and 1; subscribers 0 and 2 on board 0.
    BenchLedger ledger({.boards = 2, .subscribers = 3, .publishers = 2}, kSpan);

    const BenchStamp stamp = ledger.publish(0, kBegin + 2s);
    EXPECT_EQ(stamp, (BenchStamp{0, 0, 2s}));
    EXPECT_EQ(ledger.in_flight(0), 1U);
    ledger.arrive(0, stamp, kBegin + 2s + 5ms);
    EXPECT_FALSE(ledger.settled());
    EXPECT_EQ(ledger.lost(), 1U);
    EXPECT_EQ(ledger.in_flight(0), 1U);
    ledger.arrive(2, stamp, kBegin + 2s + 7ms);

    EXPECT_TRUE(ledger.settled());
    EXPECT_EQ(ledger.lost(), 0U);
    EXPECT_EQ(ledger.in_flight(0), 0U);
    EXPECT_EQ(ledger.delivered(), 2U);
    EXPECT_EQ(ledger.events_measured(), 1.0);
    EXPECT_EQ(ledger.latency().count(), 2U);
    EXPECT_EQ(ledger.latency().max_us(), 7000);
}

TEST(BenchLedger, CountsWhatComesTwiceOrOutOfOrder) {
    BenchLedger ledger({}, kSpan);
    const BenchStamp first = ledger.publish(0, kBegin);
    const BenchStamp second = ledger.publish(0, kBegin);

    ledger.arrive(0, second, kBegin);
    ledger.arrive(0, first, kBegin);
    ledger.arrive(0, second, kBegin);

    EXPECT_EQ(ledger.late(), 1U);
    EXPECT_EQ(ledger.doubled(), 1U);
    EXPECT_EQ(ledger.delivered(), 2U);
    EXPECT_EQ(ledger.lost(), 0U);
}

TEST(BenchLedger, MeasuresOnlyWhatWasDueInTheMeasuredTime) {
    BenchLedger ledger({}, kSpan);
    for (const auto due : {0s, 1s, 2s, 3s}) {
        ledger.arrive(0, ledger.publish(0, kBegin + due), kBegin + due);
    }

    EXPECT_EQ(ledger.delivered(), 4U);
    EXPECT_EQ(ledger.latency().count(), 2U);
    EXPECT_EQ(ledger.deliveries_measured(), 2U);
}

TEST(BenchLedger, StampsThatCannotBeTrueAreStrange) {
    BenchLedger ledger({.boards = 2, .subscribers = 2, .publishers = 2}, kSpan);
    const BenchStamp good = ledger.publish(0, kBegin + 1s);

    ledger.arrive(0, {2, 0, 1s}, kBegin + 1s);  // No such publisher.
    ledger.arrive(0, {1, 0, 1s}, kBegin + 1s);  // Another board's.
    ledger.arrive(0, {0, 1, 1s}, kBegin + 1s);  // Not published yet.
    ledger.arrive(0, {0, 0, 2s}, kBegin + 1s);  // From the future.
    ledger.arrive(1, good, kBegin + 1s);        // On the wrong board.

    EXPECT_EQ(ledger.strange(), 5U);
    EXPECT_EQ(ledger.delivered(), 0U);
    EXPECT_EQ(ledger.lost(), 1U);
}

TEST(BenchLedger, ARefusedEventIsNotLost) {
    BenchLedger ledger({.subscribers = 2}, kSpan);
    ledger.publish(0, kBegin);
    const BenchStamp kept = ledger.publish(0, kBegin);
    ledger.refuse(0);
    ledger.arrive(0, kept, kBegin);
    ledger.arrive(1, kept, kBegin);

    EXPECT_TRUE(ledger.settled());
    EXPECT_EQ(ledger.refused(), 1U);
    EXPECT_EQ(ledger.lost(), 0U);
    EXPECT_EQ(ledger.in_flight(0), 0U);

    ledger.publish(0, kBegin);
    EXPECT_EQ(ledger.lost(), 2U) << "one refusal explains one missing event, not two";
}

TEST(BenchLedger, OwesNothingToASubscriberThatIsGone) {
    BenchLedger ledger({.subscribers = 2}, kSpan);
    const BenchStamp first = ledger.publish(0, kBegin);
    const BenchStamp second = ledger.publish(0, kBegin);
    ledger.arrive(0, first, kBegin);
    ledger.arrive(0, second, kBegin);
    ledger.arrive(1, first, kBegin);
    EXPECT_EQ(ledger.lost(), 1U);

    ledger.forget(1);

    EXPECT_TRUE(ledger.settled());
    EXPECT_EQ(ledger.lost(), 0U);
    ledger.arrive(1, second, kBegin);
    EXPECT_EQ(ledger.strange(), 1U);
}

}  // namespace
}  // namespace boardbus::cli

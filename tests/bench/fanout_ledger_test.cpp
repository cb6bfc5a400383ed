// SPDX-License-Identifier: Apache-2.0
#include "bench/fanout_ledger.h"

#include <gtest/gtest.h>

namespace boardbus::bench {
namespace {

using std::chrono::milliseconds;

constexpr Instant kStart{};

class FanoutLedgerTest : public testing::Test {
  protected:
    FanoutLedgerTest() {
        ledger.add_reader(0);
        ledger.publish(0, kStart);
        ledger.publish(0, kStart);
        ledger.publish(0, kStart);
    }

    void arrive(std::uint64_t number) { ledger.arrive(seat, number, 100, kStart + milliseconds(1)); }

    FanoutLedger ledger{1};
    Seat seat;
};

TEST_F(FanoutLedgerTest, IsContentWhenAllEventsCameOnceInOrder) {
    arrive(0);
    arrive(1);
    arrive(2);

    EXPECT_EQ(ledger.missing(seat), 0U);
    EXPECT_EQ(ledger.skipped() + ledger.repeated() + ledger.foreign(), 0U);
    EXPECT_EQ(ledger.outstanding(), 0U);
}

TEST_F(FanoutLedgerTest, NoticesAnEventThatIsLeftOut) {
    arrive(0);
    arrive(2);

    EXPECT_EQ(ledger.skipped(), 1U);
    EXPECT_EQ(ledger.outstanding(), 1U);
}

TEST_F(FanoutLedgerTest, NoticesEventsThatNeverCame) {
    arrive(0);

    EXPECT_EQ(ledger.missing(seat), 2U);
}

TEST_F(FanoutLedgerTest, NoticesAnEventThatComesTwice) {
    arrive(0);
    arrive(0);

    EXPECT_EQ(ledger.repeated(), 1U);
    EXPECT_EQ(ledger.outstanding(), 2U) << "a duplicate must not make up for a missing one";
}

TEST_F(FanoutLedgerTest, NoticesEventsThatChangePlaces) {
    arrive(1);
    arrive(0);

    EXPECT_EQ(ledger.skipped(), 1U);
    EXPECT_EQ(ledger.repeated(), 1U);
}

TEST_F(FanoutLedgerTest, NoticesAnEventThatNobodyPublished) {
    arrive(3);

    EXPECT_EQ(ledger.foreign(), 1U);
}

TEST_F(FanoutLedgerTest, ExpectsOfOneWhoComesBackOnlyWhatIsPublishedFromThenOn) {
    ledger.sit_down(seat);
    ledger.publish(0, kStart);

    arrive(2);  // On its way while the reader joined.
    arrive(3);

    EXPECT_EQ(ledger.missing(seat), 0U);
    EXPECT_EQ(ledger.skipped() + ledger.repeated(), 0U);
}

TEST_F(FanoutLedgerTest, MeasuresOnlyEventsOfTheWindowAndTheirLastReader) {
    ledger.add_reader(0);
    Seat other;
    ledger.sit_down(seat);
    ledger.sit_down(other);
    ledger.open_window();
    ledger.publish(0, kStart);

    ledger.arrive(seat, 3, 100, kStart + milliseconds(1));
    ledger.arrive(other, 3, 100, kStart + milliseconds(5));

    EXPECT_EQ(ledger.measured().deliveries, 2U);
    EXPECT_EQ(ledger.measured().event_bytes, 200U);
    EXPECT_EQ(ledger.measured().latency.count(), 2U);
    ASSERT_EQ(ledger.measured().last_reader.count(), 1U);
    EXPECT_DOUBLE_EQ(ledger.measured().last_reader.max_us(), 5000);
}

}  // namespace
}  // namespace boardbus::bench

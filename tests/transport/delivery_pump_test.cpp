// SPDX-License-Identifier: Apache-2.0
#include "transport/delivery_pump_fixture.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(PumpTest, BeginsToConsumeOnlyAfterAWriteSucceeded) {
    bus.away = true;
    pump.start();
    EXPECT_EQ(source.starts, 0);

    bus.away = false;
    loop.turn(20ms);
    loop.turn(20ms);

    EXPECT_EQ(source.starts, 1);
    EXPECT_GE(bus.probes, 2);
}

TEST_F(PumpTest, CommitsWhatArrivedTogetherInOneBatchAndAcksIt) {
    start();

    pump.on_deliveries(three());

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b1", "b2", "b3")));
    EXPECT_THAT(source.settled_tags(), ElementsAre(1, 2, 3));
    EXPECT_EQ(source.settled[0].second.kind, Verdict::Kind::ack);
}

TEST_F(PumpTest, MakesOneBatchOfAllThatArrivedMeanwhile) {
    start();
    bus.late = true;
    pump.on_deliveries({delivery(1, "b1")});
    pump.on_deliveries({delivery(2, "b2")});
    pump.on_deliveries({delivery(3, "b3")});
    bus.late = false;

    bus.waiting[0]();

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b1"), ElementsAre("b2", "b3")));
}

TEST_F(PumpTest, HoldsInOrderWhileTheBusIsAwayAndChargesNothing) {
    start();
    bus.away = true;
    pump.on_deliveries(three());
    EXPECT_THAT(source.settled, IsEmpty());
    EXPECT_TRUE(pump.holding());

    bus.away = false;
    bus.batches.clear();
    loop.turn(20ms);
    loop.turn(20ms);

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b1"), ElementsAre("b2", "b3")));  // The first is the scout.
    EXPECT_THAT(source.settled_tags(), ElementsAre(1, 2, 3));
    EXPECT_TRUE(std::ranges::all_of(source.settled, [](auto& s) { return s.second.kind == Verdict::Kind::ack; }));
    EXPECT_FALSE(pump.holding());
}

TEST_F(PumpTest, ChargesAnOutageWhenToldTo) {
    DeliveryPump charging(loop, bus, source, metrics, {.retry = {}, .on_outage = OnOutage::charge});
    charging.start();
    bus.away = true;

    charging.on_deliveries({delivery(1, "b1"), delivery(2, "b2", 5)});

    ASSERT_THAT(source.settled, SizeIs(2));
    EXPECT_EQ(source.settled[0].second.kind, Verdict::Kind::retry);
    EXPECT_EQ(source.settled[1].second.kind, Verdict::Kind::dead_letter);
    EXPECT_EQ(source.settled[1].second.reason, "retries_exhausted");
    EXPECT_EQ(source.settled[1].second.attempts, 6);
}

TEST_F(PumpTest, ChargesAnOutageToARedeliveredMessageToo) {
    DeliveryPump charging(loop, bus, source, metrics, {.retry = {}, .on_outage = OnOutage::charge});
    charging.start();
    bus.away = true;
    auto suspect = delivery(1, "b1");
    suspect.redelivered = true;

    charging.on_deliveries({suspect});

    ASSERT_THAT(source.settled, SizeIs(1));
    EXPECT_EQ(source.settled[0].second.kind, Verdict::Kind::retry);
}

TEST_F(PumpTest, EndsAHoldWhoseDeliveriesWentToAnotherWorker) {
    start();
    bus.away = true;
    pump.on_deliveries(three());
    pump.on_source_reset();
    EXPECT_TRUE(pump.holding());

    bus.away = false;
    loop.turn(20ms);
    loop.turn(20ms);

    EXPECT_FALSE(pump.holding());
    EXPECT_EQ(source.starts, 1);
}

TEST_F(PumpTest, RetriesOnlyTheMessageThatFailed) {
    start();
    bus.answers["b2"] = CommitResult::Status::failed;

    pump.on_deliveries(three());

    ASSERT_THAT(source.settled_tags(), ElementsAre(1, 2, 3));
    EXPECT_EQ(source.settled[1].second.kind, Verdict::Kind::retry);
    EXPECT_EQ(source.settled[1].second.event_id, "event-2");
    EXPECT_EQ(source.settled[2].second.kind, Verdict::Kind::ack);
}

TEST_F(PumpTest, BuriesWhatItCannotReadAndGoesOn) {
    start();
    board::Delivery unreadable{.tag = 1, .body = "{", .message_id = "m", .retry_count = 0, .redelivered = false};

    pump.on_deliveries({unreadable, delivery(2, "b2")});

    ASSERT_THAT(source.settled_tags(), ElementsAre(1, 2));
    EXPECT_EQ(source.settled[0].second.reason, "invalid_payload");
    EXPECT_EQ(source.settled[1].second.kind, Verdict::Kind::ack);
}

TEST_F(PumpTest, BoundsTheBytesOfABatch) {
    DeliveryPump small(loop, bus, source, metrics, {.retry = {}, .batch_bytes_max = 2 * delivery(1, "b1").body.size()});
    small.start();
    bus.late = true;
    small.on_deliveries({delivery(1, "b1")});
    bus.late = false;
    auto large = delivery(5, "b2");
    large.body += std::string(5000, ' ');
    small.on_deliveries({delivery(2, "b1"), delivery(3, "b2"), delivery(4, "b3"), large});

    bus.waiting[0]();

    EXPECT_THAT(bus.batches,
                ElementsAre(ElementsAre("b1"), ElementsAre("b1", "b2"), ElementsAre("b3"), ElementsAre("b2")));
    EXPECT_THAT(source.settled_tags(), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(PumpTest, IgnoresTheAnswerForDeliveriesThatWentBackToTheQueue) {
    start();
    bus.late = true;
    pump.on_deliveries(three());
    pump.on_source_reset();

    bus.waiting[0]();

    EXPECT_THAT(source.settled, IsEmpty());
}

TEST_F(PumpTest, SettlesNothingMoreWhenItGivesEverythingBack) {
    start();
    source.slow = true;
    bus.late = true;
    pump.on_deliveries(three());
    pump.on_deliveries({delivery(4, "b4")});

    pump.give_back();
    bus.waiting[0]();

    EXPECT_EQ(source.releases, 1);
    EXPECT_EQ(source.starts, 2);
    EXPECT_THAT(source.settled, IsEmpty());
    EXPECT_THAT(bus.batches, SizeIs(1)) << "another worker may have it by now";
}

TEST_F(PumpTest, GivesTheDeliveriesBackWhenTheHoldLastsTooLong) {
    DeliveryPump impatient(loop, bus, source, metrics,
                           {.retry = {}, .hold_initial = 1ms, .hold_most = 1ms, .hold_release = 0min});
    impatient.start();
    bus.away = true;
    impatient.on_deliveries(three());

    loop.turn(20ms);
    EXPECT_EQ(source.releases, 1);
    bus.away = false;
    for (int i = 0; i < 3 && source.starts < 2; ++i) {
        loop.turn(20ms);
    }

    EXPECT_EQ(source.starts, 2);
    EXPECT_THAT(source.settled, IsEmpty());
}

TEST_F(PumpTest, StartsASourceAgainThatIsSlowToTakeItsDeliveriesBack) {
    DeliveryPump impatient(loop, bus, source, metrics,
                           {.retry = {}, .hold_initial = 1ms, .hold_most = 1ms, .hold_release = 0min});
    impatient.start();
    source.slow = true;
    bus.away = true;
    impatient.on_deliveries(three());
    loop.turn(20ms);
    ASSERT_EQ(source.releases, 1);

    bus.away = false;
    for (int i = 0; i < 3 && source.starts < 2; ++i) {
        loop.turn(20ms);
    }

    EXPECT_EQ(source.starts, 2);
    EXPECT_FALSE(impatient.holding());
    EXPECT_THAT(source.settled, IsEmpty());
}

TEST_F(PumpTest, StopsAfterTheCommitUnderWayAndBeginsNoOther) {
    start();
    bus.late = true;
    bool stopped = false;
    pump.on_deliveries({delivery(1, "b1")});
    pump.on_deliveries({delivery(2, "b2")});
    pump.stop([&] { stopped = true; });
    EXPECT_FALSE(stopped);

    bus.waiting[0]();

    EXPECT_TRUE(stopped);
    EXPECT_THAT(source.settled_tags(), ElementsAre(1));
    EXPECT_THAT(bus.batches, SizeIs(1));
}

}  // namespace
}  // namespace boardbus::transport

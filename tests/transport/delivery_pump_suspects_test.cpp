// Deliveries that were handed out before: perhaps their worker died of them.
// SPDX-License-Identifier: Apache-2.0
#include "transport/delivery_pump_fixture.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(PumpTest, HandlesSuspectsOneAtATimeAndForgetsTheirCountAfterwards) {
    start();
    auto suspects = three();
    suspects[0].redelivered = suspects[1].redelivered = true;

    pump.on_deliveries(std::move(suspects));

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b1"), ElementsAre("b2"), ElementsAre("b3")));
    EXPECT_THAT(bus.attempts, IsEmpty());
}

TEST_F(PumpTest, BuriesWhatKilledThreeWorkersWithoutReadingIt) {
    start();
    bus.attempts["event-1"] = 2;  // Two redeliveries were begun before; the first delivery is not counted.
    auto suspects = three();
    suspects[0].redelivered = true;

    pump.on_deliveries(std::move(suspects));

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b2", "b3")));
    EXPECT_EQ(source.settled[0].second.reason, "crash_loop");
    EXPECT_EQ(source.settled[0].second.event_id, "event-1");
    EXPECT_THAT(bus.attempts, IsEmpty()) << "when it is replayed it begins anew";
}

TEST_F(PumpTest, BeginsTheNextSuspectOnlyWhenTheDeadLetterOfTheLastOneIsSafe) {
    start();
    source.slow = true;
    bus.attempts["event-1"] = 2;
    auto suspects = three();
    suspects[0].redelivered = suspects[1].redelivered = true;

    pump.on_deliveries(std::move(suspects));
    ASSERT_THAT(source.settled_tags(), ElementsAre(1));
    pump.on_copied(7);  // Another one's.
    EXPECT_THAT(bus.batches, IsEmpty()) << "to die of it now would leave the first dead letter twice";
    pump.on_copied(1);

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b2"), ElementsAre("b3")));
}

TEST_F(PumpTest, DoesNotWaitForADeadLetterWhoseOriginalWentBack) {
    start();
    source.slow = true;
    bus.attempts["event-1"] = 2;
    auto suspect = delivery(1, "b1");
    suspect.redelivered = true;
    pump.on_deliveries({suspect});

    pump.on_source_reset();
    suspect = delivery(2, "b2");
    suspect.redelivered = true;
    pump.on_deliveries({suspect});

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b2")));
}

TEST_F(PumpTest, TakesItsCountOfASuspectBackThatGoesToItsQueueWithoutACrash) {
    start();
    bus.attempts["event-1"] = 1;  // Another worker has died of it.
    auto suspect = delivery(1, "b1");
    suspect.redelivered = true;

    bus.late = true;
    pump.on_deliveries({suspect});
    EXPECT_EQ(bus.attempts["event-1"], 2);
    pump.on_source_reset();
    bus.waiting[0]();  // The connection was lost under the commit.
    EXPECT_EQ(bus.attempts["event-1"], 1);

    bus.late = false;
    bus.answers["b1"] = CommitResult::Status::unavailable;
    pump.on_deliveries({suspect});
    ASSERT_TRUE(pump.holding());
    EXPECT_EQ(bus.attempts["event-1"], 2);
    pump.on_source_reset();  // It was lost in a hold.

    EXPECT_EQ(bus.attempts["event-1"], 1);
}

TEST_F(PumpTest, HandlesASuspectWhoseCounterIsBroken) {
    start();
    bus.no_count = true;
    auto suspect = delivery(1, "b1");
    suspect.redelivered = true;

    pump.on_deliveries({suspect});

    EXPECT_FALSE(pump.holding());
    EXPECT_THAT(source.settled_tags(), ElementsAre(1));
}

TEST_F(PumpTest, HandlesASuspectInTheEndWhoseCountWasNotAnswered) {
    start();
    bus.counts_lost = 4;
    auto suspect = delivery(1, "b1");
    suspect.redelivered = true;

    pump.on_deliveries({suspect});
    for (int i = 0; i < 20 && pump.holding(); ++i) {
        loop.turn(20ms);
    }

    EXPECT_THAT(bus.batches, ElementsAre(ElementsAre("b1")));
}

}  // namespace
}  // namespace boardbus::transport

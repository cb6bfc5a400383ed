// SPDX-License-Identifier: Apache-2.0
#include "transport/delivery_pump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "board/envelope.h"
#include "board/message.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using board::CommitResult;
using board::Verdict;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// Answers commits with what the test has laid out, or `fresh`; keeps them until asked when `late`.
struct FakeBus final : board::ActivityBus {
    void commit(std::vector<board::CommitRequest> batch, CommitDone done) override {
        std::vector<CommitResult> results;
        batches.emplace_back();
        for (const auto& request : batch) {
            batches.back().push_back(request.board_id);
            results.push_back(
                CommitResult{away ? CommitResult::Status::unavailable : answers[request.board_id], "why"});
        }
        answer(std::move(done), std::move(results));
    }
    void probe(std::move_only_function<void(Result<void>)> done) override {
        ++probes;
        done(away ? Result<void>(fail(Errc::unavailable, "refused")) : Result<void>());
    }
    void count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) override {
        attempts[id] += away || no_count || std::exchange(begun[id], true) ? 0 : 1;
        done(away || counts_lost-- > 0 ? Result<std::int64_t>(fail(Errc::unavailable, "refused"))
             : no_count                ? Result<std::int64_t>(fail(Errc::refused, "no integer"))
                                       : Result<std::int64_t>(attempts[id]));
    }
    void forget_attempts(const std::string& id) override {
        attempts.erase(id);
        begun.erase(id);
    }

    void take_back_attempt(const std::string& id) override { attempts[id] -= std::exchange(begun[id], false) ? 1 : 0; }

    void answer(CommitDone done, std::vector<CommitResult> results) {
        if (late) {
            waiting.push_back(
                [done = std::move(done), results = std::move(results)]() mutable { done(std::move(results)); });
        } else {
            done(std::move(results));
        }
    }

    std::map<std::string, CommitResult::Status> answers;
    std::map<std::string, std::int64_t> attempts;
    std::map<std::string, bool> begun;  // Whether this worker is among them.
    int counts_lost = 0;                // So many counts are made, and the answer is lost.
    std::vector<std::vector<std::string>> batches;
    std::vector<Task> waiting;
    bool away = false;
    bool no_count = false;
    bool late = false;
    int probes = 0;

    FakeBus() = default;
    explicit FakeBus(std::map<std::string, CommitResult::Status> laid_out) : answers(std::move(laid_out)) {}
};

struct FakeSource final : board::DeliverySource {
    void start(board::DeliverySink& to) override {
        sink = &to;
        ++starts;
    }
    void release() override {
        ++releases;
        if (!slow) {
            sink->on_source_reset();
        }
    }
    void settle(std::uint64_t tag, Verdict verdict) override {
        const bool copied = verdict.kind != Verdict::Kind::ack && !slow;
        settled.emplace_back(tag, std::move(verdict));
        if (copied) {
            sink->on_copied(tag);
        }
    }

    std::vector<std::uint64_t> settled_tags() const {
        std::vector<std::uint64_t> tags;
        for (const auto& [tag, verdict] : settled) {
            tags.push_back(tag);
        }
        return tags;
    }

    board::DeliverySink* sink = nullptr;
    std::vector<std::pair<std::uint64_t, Verdict>> settled;
    int starts = 0;
    int releases = 0;
    bool slow = false;  // Takes its time to give things back, and for copies.
};

board::Delivery delivery(std::uint64_t tag, const std::string& board, std::int64_t retries = 0) {
    const auto message = board::parse_board_message(R"({"action":"a"})");
    auto sealed =
        board::seal(*message, board, "event-" + std::to_string(tag), "key-" + std::to_string(tag), wall_now());
    return {.tag = tag,
            .body = std::move(sealed.body),
            .message_id = sealed.event_id,
            .retry_count = retries,
            .redelivered = false};
}

struct PumpTest : testing::Test {
    std::vector<board::Delivery> three() { return {delivery(1, "b1"), delivery(2, "b2"), delivery(3, "b3")}; }

    void start() {
        pump.start();
        ASSERT_EQ(source.starts, 1);
    }

    Loop loop;
    telemetry::Metrics metrics;
    FakeBus bus{{{"b1", CommitResult::Status::fresh},
                 {"b2", CommitResult::Status::fresh},
                 {"b3", CommitResult::Status::fresh}}};
    FakeSource source;
    DeliveryPump pump{
        loop,
        bus,
        source,
        metrics,
        {.retry = {.delay_first = 1000ms, .delay_max = 60s, .retries_max = 5}, .hold_initial = 1ms, .hold_most = 2ms}};
};

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

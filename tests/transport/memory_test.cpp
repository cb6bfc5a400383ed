// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/memory_bus.h"
#include "transport/memory_queue.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using board::PublishOutcome;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Status = board::CommitResult::Status;

struct Readers final : board::ActivitySink {
    void on_activities(std::vector<board::ActivityView> activities) override {
        for (auto& activity : activities) {
            seen.push_back(activity.action);
            cursors.push_back(activity.cursor);
        }
    }
    void on_break(board::HistoryBreak) override { ADD_FAILURE() << "a break"; }
    void on_begin(std::string, std::uint64_t) override {}
    void on_live(bool now) override { live = now; }

    std::vector<std::string> seen;
    std::vector<std::string> cursors;
    bool live = false;
};

struct Taker final : board::DeliverySink {
    void on_deliveries(std::vector<board::Delivery> deliveries) override {
        std::ranges::move(deliveries, std::back_inserter(taken));
    }
    void on_copied(std::uint64_t tag) override { copied.push_back(tag); }
    void on_source_reset() override { ++resets; }

    std::vector<std::string> bodies() const {
        std::vector<std::string> all;
        for (const auto& delivery : taken) {
            all.push_back(delivery.body);
        }
        return all;
    }

    std::vector<board::Delivery> taken;
    std::vector<std::uint64_t> copied;
    int resets = 0;
};

board::CommitRequest request(const std::string& key, const std::string& fingerprint) {
    return {.idempotency_key = key,
            .fingerprint = fingerprint,
            .event_id = "e",
            .board_id = "b",
            .activity = R"({"id":"e","board":"b","action":")" + fingerprint + "\"}",
            .published_at = {}};
}

struct MemoryBusTest : testing::Test {
    std::vector<Status> commit(std::vector<board::CommitRequest> batch) {
        std::vector<Status> statuses;
        bus.commit(std::move(batch), [&](const std::vector<board::CommitResult>& results) {
            for (const auto& result : results) {
                statuses.push_back(result.status);
            }
        });
        return statuses;
    }

    Loop loop;
    Readers readers;
    MemoryBus bus{loop, readers, {.idempotency_ttl = 300s, .keys_max = 3}};
};

TEST_F(MemoryBusTest, ShowsAnEventOncePerKeyAndText) {
    EXPECT_THAT(commit({request("k", "one"), request("k", "one")}), ElementsAre(Status::fresh, Status::duplicate));
    EXPECT_THAT(commit({request("k", "one")}), ElementsAre(Status::duplicate));

    EXPECT_THAT(readers.seen, ElementsAre("one"));
}

TEST_F(MemoryBusTest, ShowsAnotherEventUnderTheSameKeyOnceToo) {
    EXPECT_THAT(commit({request("k", "one"), request("k", "two"), request("k", "two"), request("k", "one")}),
                ElementsAre(Status::fresh, Status::conflict, Status::duplicate, Status::duplicate));

    EXPECT_THAT(readers.seen, ElementsAre("one", "two"));
}

TEST_F(MemoryBusTest, ShowsAnEventWhoseConflictsKeySomebodyHasUsed) {
    const std::string two = request("k", "two").fingerprint;
    commit({request("k:" + two, "one"), request("k", "one")});

    EXPECT_THAT(commit({request("k", "two"), request("k", "two")}), ElementsAre(Status::conflict, Status::duplicate));
}

TEST_F(MemoryBusTest, ForgetsTheOldestKeyWhenFull) {
    commit({request("k1", "one")});
    commit({request("k2", "two")});
    commit({request("k3", "three")});
    commit({request("k4", "four")});

    EXPECT_THAT(commit({request("k4", "four")}), ElementsAre(Status::duplicate));
    EXPECT_THAT(commit({request("k1", "one")}), ElementsAre(Status::fresh));
}

TEST_F(MemoryBusTest, GivesEachEventItsPlaceAndKeepsIt) {
    commit({request("k1", "one"), request("k2", "two"), request("k1", "one")});
    std::optional<board::HistoryPage> page;

    bus.history().read_board_after("b", 1, 10, [&](Result<board::HistoryPage> read) { page = std::move(*read); });

    ASSERT_TRUE(page);
    ASSERT_THAT(page->events, SizeIs(1));
    EXPECT_EQ(page->events[0].cursor, readers.cursors.at(1));
    EXPECT_EQ(page->events[0].position, (board::Position{.epoch = page->epoch, .pos = 2, .seq = 2}));
    EXPECT_EQ(page->last, 2U);
}

TEST_F(MemoryBusTest, RefusesWhatIsNoEvent) {
    auto odd = request("k", "one");
    odd.activity = "[]";

    EXPECT_THAT(commit({odd}), ElementsAre(Status::failed));
    EXPECT_THAT(readers.seen, IsEmpty());
}

TEST_F(MemoryBusTest, IsLiveFromItsStart) {
    bus.start();

    EXPECT_TRUE(readers.live);
}

struct MemoryQueueTest : testing::Test {
    PublishOutcome publish(MemoryQueue& queue, const std::string& body) {
        PublishOutcome outcome = PublishOutcome::unknown;
        queue.publish({.event_id = "id", .board_id = "b", .correlation_id = "c", .body = body, .published_at = {}},
                      [&](const board::PublishResult& result) { outcome = result.outcome; });
        return outcome;
    }

    Loop loop;
    telemetry::Metrics metrics;
    Taker taker;
};

TEST_F(MemoryQueueTest, HandsOutInOrderAndAtMostThePrefetch) {
    MemoryQueue queue(loop, metrics, {.prefetch = 2});
    queue.start(taker);
    for (const char* body : {"1", "2", "3"}) {
        EXPECT_EQ(publish(queue, body), PublishOutcome::accepted);
    }

    loop.turn(0ms);
    EXPECT_THAT(taker.bodies(), ElementsAre("1", "2"));
    queue.settle(taker.taken[0].tag, {});
    loop.turn(0ms);

    EXPECT_THAT(taker.bodies(), ElementsAre("1", "2", "3"));
}

TEST_F(MemoryQueueTest, RefusesWhatGoesBeyondItsBytes) {
    MemoryQueue queue(loop, metrics, {.bytes_max = 1000});

    EXPECT_EQ(publish(queue, std::string(500, 'x')), PublishOutcome::accepted);
    EXPECT_EQ(publish(queue, std::string(500, 'x')), PublishOutcome::rejected);
    queue.start(taker);
    loop.turn(0ms);
    queue.settle(taker.taken[0].tag, {});

    EXPECT_EQ(publish(queue, std::string(500, 'x')), PublishOutcome::accepted);
}

TEST_F(MemoryQueueTest, TakesOneThatIsLongerThanItsBytesWhenItIsAlone) {
    MemoryQueue queue(loop, metrics, {.bytes_max = 1000});

    EXPECT_EQ(publish(queue, std::string(2000, 'x')), PublishOutcome::accepted);
    EXPECT_EQ(publish(queue, "x"), PublishOutcome::rejected);
}

TEST_F(MemoryQueueTest, BringsARetryBackAfterItsDelayAndNotBefore) {
    MemoryQueue queue(loop, metrics, {});
    queue.start(taker);
    publish(queue, "x");
    loop.turn(0ms);
    const Instant failed = loop.now();
    queue.settle(taker.taken[0].tag, {.kind = board::Verdict::Kind::retry, .delay = 30ms});

    loop.turn(0ms);
    EXPECT_THAT(taker.taken, SizeIs(1));
    while (taker.taken.size() < 2) {
        loop.turn(100ms);
    }

    EXPECT_GE(loop.now() - failed, 30ms);
    EXPECT_EQ(taker.taken[1].retry_count, 1);
}

TEST_F(MemoryQueueTest, KeepsDeadLettersUpToItsBound) {
    MemoryQueue queue(loop, metrics, {.dead_letters_max = 2});
    queue.start(taker);
    for (const char* body : {"1", "2", "3"}) {
        publish(queue, body);
    }
    loop.turn(0ms);

    for (const auto& delivery : taker.taken) {
        queue.settle(delivery.tag, {.kind = board::Verdict::Kind::dead_letter, .reason = "retries_exhausted"});
    }

    EXPECT_EQ(queue.dead_letters(), 2U);
    EXPECT_EQ(taker.copied.size(), 3U);
    EXPECT_TRUE(queue.idle());
}

TEST_F(MemoryQueueTest, TakesUnsettledDeliveriesBackInOrder) {
    MemoryQueue queue(loop, metrics, {});
    queue.start(taker);
    publish(queue, "1");
    publish(queue, "2");
    loop.turn(0ms);

    queue.release();
    EXPECT_EQ(taker.resets, 1);
    taker.taken.clear();
    queue.start(taker);
    loop.turn(0ms);

    EXPECT_THAT(taker.bodies(), ElementsAre("1", "2"));
    EXPECT_TRUE(taker.taken[0].redelivered);
}

}  // namespace
}  // namespace boardbus::transport

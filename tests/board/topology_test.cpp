// SPDX-License-Identifier: Apache-2.0
#include "board/topology.h"

#include <gtest/gtest.h>

#include <map>

namespace boardbus::board {
namespace {

using Arguments = std::map<std::string, QueueArgument>;

Arguments arguments_of(const QueuePlan& queue) {
    return {queue.arguments.begin(), queue.arguments.end()};
}

QueueArgument text(const char* value) {
    return std::string(value);
}

QueueArgument number(std::int64_t value) {
    return value;
}

TEST(Topology, HasTheBaseNames) {
    const Topology topology = make_topology({});

    EXPECT_EQ(topology.exchanges, (std::vector<std::string>{"advanced.board.events", "advanced.board.events.retry",
                                                            "advanced.board.events.dlq"}));
    EXPECT_EQ(topology.main.name, "advanced.board.events");
    EXPECT_EQ(topology.main.exchange, "advanced.board.events");
    EXPECT_EQ(topology.main.routing_key, "boards.activity");
    EXPECT_EQ(topology.dlq.name, "advanced.board.events.dlq");
    EXPECT_EQ(topology.dlq.exchange, "advanced.board.events.dlq");
    EXPECT_EQ(topology.dlq.routing_key, "boards.activity.dlq");
}

TEST(Topology, HasOneQueueForEachRetry) {
    const Topology topology = make_topology({});

    ASSERT_EQ(topology.levels.size(), 5U);
    EXPECT_EQ(topology.levels[0].name, "advanced.board.events.retry");
    EXPECT_EQ(topology.levels[0].routing_key, "boards.activity.retry");
    EXPECT_EQ(topology.levels[1].name, "advanced.board.events.retry.2");
    EXPECT_EQ(topology.levels[1].routing_key, "boards.activity.retry.2");
    EXPECT_EQ(topology.levels[4].name, "advanced.board.events.retry.5");
    for (const QueuePlan& level : topology.levels) {
        EXPECT_EQ(level.exchange, "advanced.board.events.retry");
    }
}

TEST(Topology, HasNoLevelsWithoutRetries) {
    EXPECT_TRUE(make_topology({.retries_max = 0}).levels.empty());
    EXPECT_TRUE(make_topology({.retries_max = -1}).levels.empty());
}

TEST(Topology, GivesQuorumQueuesTheirArguments) {
    const Topology topology = make_topology({});

    EXPECT_EQ(arguments_of(topology.main), (Arguments{{"x-queue-type", text("quorum")},
                                                      {"x-single-active-consumer", true},
                                                      {"x-delivery-limit", number(1000)},
                                                      {"x-dead-letter-exchange", text("advanced.board.events.dlq")},
                                                      {"x-dead-letter-routing-key", text("boards.activity.dlq")},
                                                      {"x-dead-letter-strategy", text("at-least-once")},
                                                      {"x-overflow", text("reject-publish")}}));
    EXPECT_EQ(arguments_of(topology.dlq),
              (Arguments{{"x-queue-type", text("quorum")}, {"x-delivery-limit", number(1'000'000)}}));
    EXPECT_EQ(arguments_of(topology.levels[2]), (Arguments{{"x-queue-type", text("quorum")},
                                                           {"x-dead-letter-exchange", text("advanced.board.events")},
                                                           {"x-dead-letter-routing-key", text("boards.activity")},
                                                           {"x-dead-letter-strategy", text("at-least-once")},
                                                           {"x-overflow", text("reject-publish")}}));
}

TEST(Topology, GivesClassicQueuesOnlyWhatTheyKnow) {
    const Topology topology = make_topology({.queue_type = QueueType::classic});

    EXPECT_EQ(arguments_of(topology.main), (Arguments{{"x-single-active-consumer", true}}));
    EXPECT_EQ(arguments_of(topology.dlq), Arguments{});
    EXPECT_EQ(arguments_of(topology.levels[0]), (Arguments{{"x-dead-letter-exchange", text("advanced.board.events")},
                                                           {"x-dead-letter-routing-key", text("boards.activity")},
                                                           {"x-overflow", text("reject-publish")}}));
}

TEST(Topology, LetsConsumersCompeteOnRequest) {
    EXPECT_FALSE(
        arguments_of(make_topology({.single_active_consumer = false}).main).contains("x-single-active-consumer"));
}

TEST(Topology, NamesAnExchangeThatServesTwiceOnce) {
    TopologyOptions options;
    options.retry.exchange = options.main.exchange;

    EXPECT_EQ(make_topology(options).exchanges.size(), 2U);
}

TEST(Topology, SidestepsAForeignLevelQueue) {
    const QueuePlan level = make_topology({}).levels[1];

    const QueuePlan fallback = fallback_level(level);

    EXPECT_EQ(fallback.name, "advanced.board.events.retry.2.bb");
    EXPECT_EQ(fallback.routing_key, "boards.activity.retry.2.bb");
    EXPECT_EQ(fallback.exchange, level.exchange);
    EXPECT_EQ(fallback.arguments, level.arguments);
}

}  // namespace
}  // namespace boardbus::board

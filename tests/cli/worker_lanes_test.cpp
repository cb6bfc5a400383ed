// SPDX-License-Identifier: Apache-2.0
#include "cli/worker_lanes.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "transport/listener.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;

/// How often a lane goes to `worker` within `time` when it is back each second.
int changes(LaneTurn& turn, const std::string& worker, Instant begin, std::chrono::seconds time, double chance) {
    int count = 0;
    for (Instant now = begin; now < begin + time; now += 1s) {
        count += turn.give(worker, now, chance) ? 1 : 0;
    }
    return count;
}

TEST(LaneTurn, GoesAtOnceTheFirstTime) {
    LaneTurn turn;

    EXPECT_TRUE(turn.give("a", Instant{} + 1h, 0));
}

TEST(LaneTurn, GoesEverLessOftenToWhomItComesBackFrom) {
    LaneTurn turn;

    // After 0, 10, 30, 70, 150, 310 s, then every 5 min; with the shortest waits in half the time.
    EXPECT_EQ(changes(turn, "a", Instant{} + 1h, 600s, 0), 6);
    EXPECT_EQ(changes(turn, "a", Instant{} + 1h + 600s, 3000s, 0), 10);
    LaneTurn hasty;
    EXPECT_LE(changes(hasty, "a", Instant{} + 1h, 3600s, 0.999), 29);
}

TEST(LaneTurn, GoesToAnotherAtOnce) {
    LaneTurn turn;
    changes(turn, "a", Instant{} + 1h, 600s, 0);

    EXPECT_TRUE(turn.give("b", Instant{} + 1h + 601s, 0));
    EXPECT_FALSE(turn.give("b", Instant{} + 1h + 602s, 0));
}

TEST(LaneTurn, ForgetsItsWaitsWhenTheLaneHasStayedAway) {
    LaneTurn turn;
    changes(turn, "a", Instant{} + 1h, 600s, 0);

    ASSERT_TRUE(turn.give("a", Instant{} + 2h, 0));
    EXPECT_TRUE(turn.give("a", Instant{} + 2h + 10s, 0));
}

class NoBus final : public board::ActivityBus {
  public:
    void commit(std::vector<board::CommitRequest> /*batch*/, CommitDone /*done*/) override {}
    void probe(std::move_only_function<void(Result<void>)> /*done*/) override {}
    void count_attempt(const std::string& /*id*/,
                       std::move_only_function<void(Result<std::int64_t>)> /*done*/) override {}
    void forget_attempts(const std::string& /*id*/) override {}
    void take_back_attempt(const std::string& /*id*/) override {}
};

/// Whether a worker of two lanes enters a roster, for which it needs Redis.
bool shares_lanes(bool single_active_consumer) {
    const transport::ReservedPort redis;
    EXPECT_EQ(::listen(redis.fd(), 16), 0);
    const transport::ReservedPort nobody;
    Config config;
    config.rabbitmq.urls = {{.endpoint = {.host = "127.0.0.1", .port = nobody.number()}}};
    config.rabbitmq.lanes = 2;
    config.rabbitmq.topology.single_active_consumer = single_active_consumer;
    config.redis.url.endpoint = {.host = "127.0.0.1", .port = redis.number()};
    Loop loop;
    telemetry::Metrics metrics;
    NoBus bus;
    Tracing tracing(loop, metrics, config, "worker");
    WorkerLanes lanes(loop, metrics, bus, tracing, config, [] {});

    lanes.start();
    for (int i = 0; i < 20; ++i) {
        loop.turn(5ms);
    }

    UniqueFd client;
    client.reset(::accept(redis.fd(), nullptr, nullptr));
    return static_cast<bool>(client);
}

TEST(WorkerLanes, AreSharedOnlyWithASingleActiveConsumer) {
    EXPECT_TRUE(shares_lanes(true));
    EXPECT_FALSE(shares_lanes(false));
}

}  // namespace
}  // namespace boardbus::cli

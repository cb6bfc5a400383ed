// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_dlq.h"

#include <gmock/gmock.h>

#include "transport/rabbitmq_dlq_watcher.h"
#include "transport/rabbitmq_live.h"
#include "transport/rabbitmq_topology.h"

namespace boardbus::transport {
namespace {

/// A connection with the topology declared and nothing else.
class Ground final : private AmqpConnectionOwner {
  public:
    Ground(Loop& loop, telemetry::Metrics& metrics, const AmqpOptions& options, board::Topology plan)
        : connection(loop, *this, options), topology(loop, connection, metrics, std::move(plan)) {
        connection.start();
    }
    bool ready = false;
    AmqpConnection connection;
    RabbitTopology topology;

  private:
    void on_connected() override {
        topology.declare([this](const Result<void>& done) { ready = done.has_value(); });
    }
    void on_disconnected(const Error&) override {}
};

class LiveRabbitDlq : public LiveRabbit {
  protected:
    void bury(const std::string& id, const std::string& reason = "retries_exhausted") {
        amqp::Properties properties;
        properties.message_id = id;
        properties.headers = {
            {"failure_reason", reason},
            {"error", "it broke"},
            {"x-retry-count", std::int32_t{5}},
            {"x-death", amqp::Array{amqp::Table{{"queue", names.main.queue}, {"reason", "delivery_limit"}}}},
            {"traceparent", "00-1"}};
        channel->publish(names.dlq.exchange, names.dlq.routing_key, properties, "body of " + id);
    }

    /// Three dead letters, d-0 to d-2.
    void SetUp() override {
        LiveRabbit::SetUp();
        if (IsSkipped()) {
            return;
        }
        ground.emplace(loop, metrics, amqp, topology());
        ASSERT_TRUE(until([&] { return ground->ready; }));
        channel.emplace(loop, amqp);
        for (int i = 0; i < 3; ++i) {
            bury("d-" + std::to_string(i));
        }
        ASSERT_TRUE(until([&] { return channel->depth(names.dlq.queue) == 3; }));
    }

    template <typename T>
    Result<T> run(const std::function<void(RabbitDlq&, std::move_only_function<void(Result<T>)>)>& operation) {
        RabbitDlq dlq(loop, amqp, {topology()});
        std::optional<Result<T>> answer;
        operation(dlq, [&](Result<T> result) { answer = std::move(result); });
        EXPECT_TRUE(until([&] { return answer.has_value(); }));
        return answer ? std::move(*answer) : fail(Errc::timeout, "no answer");
    }
    Result<std::size_t> replay(std::optional<std::string> id) {
        return run<std::size_t>([&](RabbitDlq& dlq, auto done) { dlq.replay(id, std::move(done)); });
    }
    Result<std::size_t> purge(std::optional<std::string> id) {
        return run<std::size_t>([&](RabbitDlq& dlq, auto done) { dlq.purge(id, std::move(done)); });
    }
    Result<std::vector<DeadLetter>> list(std::size_t most = 100) {
        return run<std::vector<DeadLetter>>([&](RabbitDlq& dlq, auto done) { dlq.list(most, std::move(done)); });
    }
    std::uint32_t depth() { return channel->depth(names.dlq.queue); }

    std::optional<Ground> ground;
    std::optional<LiveChannel> channel;
};

TEST_F(LiveRabbitDlq, ListsInOrderAndTakesNothing) {
    for (int round = 0; round < 2; ++round) {
        const auto letters = list();
        ASSERT_TRUE(letters) << letters.error().detail;
        ASSERT_EQ(letters->size(), 3U);
        EXPECT_EQ((*letters)[0].event_id, "d-0");
        EXPECT_EQ((*letters)[2].event_id, "d-2");
        EXPECT_EQ((*letters)[1].death.reason, "retries_exhausted");
        EXPECT_EQ((*letters)[1].death.error, "it broke");
        EXPECT_EQ((*letters)[1].death.attempts, 6);
        EXPECT_EQ((*letters)[1].body_bytes, 11U);
    }
    EXPECT_EQ(list(2)->size(), 2U);
    EXPECT_TRUE(until([&] { return depth() == 3; }));
}

TEST_F(LiveRabbitDlq, ShowsOneWithItsBody) {
    const auto one =
        run<std::optional<DeadLetter>>([&](RabbitDlq& dlq, auto done) { dlq.show("d-1", std::move(done)); });
    const auto none =
        run<std::optional<DeadLetter>>([&](RabbitDlq& dlq, auto done) { dlq.show("nobody", std::move(done)); });

    ASSERT_TRUE(one && *one);
    EXPECT_EQ((*one)->body, "body of d-1");
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
}

TEST_F(LiveRabbitDlq, ReplaysOneCleanedOfItsFailure) {
    EXPECT_EQ(replay("d-1"), 1U);

    const auto message = channel->take(names.main.queue);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->body, "body of d-1");
    EXPECT_EQ(message->properties.message_id, "d-1");
    std::vector<std::string> headers;
    for (const auto& [name, value] : message->properties.headers) {
        headers.push_back(name);
    }
    EXPECT_THAT(headers, ::testing::ElementsAre("traceparent", "x-replayed-at"));
    EXPECT_TRUE(until([&] { return depth() == 2; }));
}

TEST_F(LiveRabbitDlq, ReplaysAllAndKeepsWhatTheMainQueueDoesNotTake) {
    channel->delete_queue(names.main.queue);
    const auto refused = replay(std::nullopt);
    EXPECT_FALSE(refused);
    EXPECT_TRUE(until([&] { return depth() == 3; }));

    Ground again(loop, metrics, amqp, topology());
    ASSERT_TRUE(until([&] { return again.ready; }));
    EXPECT_EQ(replay(std::nullopt), 3U);
    EXPECT_EQ(depth(), 0U);
}

TEST_F(LiveRabbitDlq, PurgesOneOrAll) {
    EXPECT_EQ(purge("d-2"), 1U);
    EXPECT_EQ(purge("d-2"), 0U);
    EXPECT_TRUE(until([&] { return depth() == 2; }));
    EXPECT_EQ(purge(std::nullopt), 2U);
    EXPECT_EQ(depth(), 0U);
}

TEST_F(LiveRabbitDlq, SaysThatThereIsNoBroker) {
    amqp.brokers[0].endpoint.port = 1;
    const auto letters = list();

    ASSERT_FALSE(letters);
    EXPECT_EQ(letters.error().code, Errc::unavailable);
}

TEST_F(LiveRabbitDlq, WatcherReportsWhatTheBrokerBuriedOnce) {
    amqp::Properties properties;
    properties.message_id = "by-broker";
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    properties.headers = {
        {"x-death", amqp::Array{amqp::Table{
                        {"queue", names.main.queue}, {"reason", "delivery_limit"}, {"time", amqp::Timestamp{now}}}}}};
    channel->publish(names.dlq.exchange, names.dlq.routing_key, properties, "{}");
    RabbitDlqWatcher watcher(loop, ground->connection, metrics, ground->topology);

    ::testing::internal::CaptureStderr();
    watcher.start();
    const bool told = until([&] { return metrics.expose().contains(R"(reason="delivery_limit"} 1)"); });
    const std::string log = ::testing::internal::GetCapturedStderr();

    EXPECT_TRUE(told);
    EXPECT_THAT(log, ::testing::HasSubstr("dead_letter event_id=by-broker"));
    EXPECT_THAT(log, ::testing::HasSubstr("reason=delivery_limit"));
    EXPECT_THAT(log, ::testing::Not(::testing::HasSubstr("d-0")));
    EXPECT_TRUE(until([&] { return depth() == 4; }));
}

TEST_F(LiveRabbitDlq, WatcherLeavesAForeignQueueAloneThatCountsItsLooks) {
    names.dlq.queue = prefix + ".foreign";
    channel->call([&](std::uint16_t n) {
        return amqp::queue_declare(n, names.dlq.queue, amqp::Passive::no,
                                   {{"x-queue-type", "quorum"}, {"x-delivery-limit", 20}});
    });
    Ground foreign(loop, metrics, amqp, topology());
    ASSERT_TRUE(until([&] { return foreign.ready; }));
    amqp::Properties seen_before;
    seen_before.headers = {{"x-delivery-count", 1}};
    channel->publish(names.dlq.exchange, names.dlq.routing_key, seen_before, "{}");
    ASSERT_TRUE(until([&] { return depth() == 1; }));
    RabbitDlqWatcher watcher(loop, foreign.connection, metrics, foreign.topology);

    std::string log;
    watcher.start();
    for (int turn = 0; turn < 200 && !log.contains("dlq_not_watched"); ++turn) {
        ::testing::internal::CaptureStderr();
        loop.turn(std::chrono::milliseconds(50));
        log += ::testing::internal::GetCapturedStderr();
    }

    EXPECT_THAT(log, ::testing::HasSubstr("dlq_not_watched"));
    EXPECT_TRUE(until([&] { return depth() == 1; }));
}

}  // namespace
}  // namespace boardbus::transport

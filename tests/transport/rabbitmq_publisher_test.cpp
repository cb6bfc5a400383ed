// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_publisher.h"

#include <gmock/gmock.h>

#include <optional>
#include <vector>

#include "base/clock.h"
#include "board/lanes.h"
#include "transport/amqp_fake_broker.h"
#include "transport/rabbitmq_live.h"

namespace boardbus::transport {
namespace {

using board::PublishOutcome;

class TimedRabbitPublisher : public AmqpWithBroker {
  protected:
    RabbitPublisherOptions lanes(std::size_t count) {
        RabbitPublisherOptions with;
        with.connection = options();
        with.lanes = board::make_lanes({}, count);
        return with;
    }

    telemetry::Metrics metrics;
};

TEST_F(TimedRabbitPublisher, PublishesWithAsManyLanesAsThereMayBe) {
    broker.oblige();
    RabbitPublisher publisher(loop, metrics, lanes(board::kLanesMax), [](bool) {});
    publisher.start();
    broker.welcome(0, 131072, board::kLanesMax + 1);
    ASSERT_TRUE(until([&] { return broker.has_heard("85.10") && publisher.is_open(); }));

    std::optional<PublishOutcome> outcome;
    publisher.publish({.event_id = "e-1", .board_id = "b", .correlation_id = "c-1", .body = "{}", .published_at = {}},
                      [&](const board::PublishResult& result) { outcome = result.outcome; });

    ASSERT_TRUE(until([&] { return broker.has_heard("60.40") && outcome; }));
    EXPECT_EQ(outcome, PublishOutcome::accepted);
}

TEST_F(TimedRabbitPublisher, TakesNoBrokerThatHasTooFewChannelsForItsLanes) {
    RabbitPublisher publisher(loop, metrics, lanes(board::kLanesMax), [](bool) {});
    ::testing::internal::CaptureStderr();
    publisher.start();
    broker.welcome(0, 131072, board::kLanesMax);
    for (int i = 0; i < 20; ++i) {
        loop.turn(10ms);
    }

    EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("allows 64 channels"));
    EXPECT_FALSE(publisher.is_open());
}

class LiveRabbitPublisher : public LiveRabbit {
  protected:
    RabbitPublisherOptions options() {
        RabbitPublisherOptions options;
        options.connection = amqp;
        options.lanes = {topology()};
        return options;
    }

    void publish(RabbitPublisher& publisher, std::string id, std::string body = "{}") {
        publisher.publish({.event_id = std::move(id),
                           .board_id = "b",
                           .correlation_id = "c-1",
                           .body = std::move(body),
                           .published_at = wall_now()},
                          [this](board::PublishResult result) { results.push_back(std::move(result)); });
    }

    std::vector<board::PublishResult> results;
};

TEST_F(LiveRabbitPublisher, ConfirmsWhatItPublishesWithTheAgreedProperties) {
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));

    publish(publisher, "e-1", R"({"a":1})");
    ASSERT_TRUE(until([&] { return !results.empty(); }));

    EXPECT_EQ(results[0].outcome, PublishOutcome::accepted);
    LiveChannel channel(loop, amqp);
    const auto message = channel.take(names.main.queue);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->body, R"({"a":1})");
    EXPECT_EQ(message->properties.content_type, "application/json");
    EXPECT_EQ(message->properties.delivery_mode, 2);
    EXPECT_EQ(message->properties.message_id, "e-1");
    EXPECT_TRUE(message->properties.timestamp);
    EXPECT_EQ(amqp::find_field(message->properties.headers, "correlation_id")->as_text(), "c-1");
    EXPECT_EQ(amqp::find_field(message->properties.headers, "idempotency_key")->as_text(), "c-1");
}

TEST_F(LiveRabbitPublisher, ConfirmsThousandsThroughASmallWindow) {
    auto small = options();
    small.window = 16;
    RabbitPublisher publisher(loop, metrics, small, [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));

    for (int i = 0; i < 3000; ++i) {
        publish(publisher, "e-" + std::to_string(i), std::string(300, 'x'));
    }
    ASSERT_TRUE(until([&] { return results.size() == 3000; }));

    for (const auto& result : results) {
        ASSERT_EQ(result.outcome, PublishOutcome::accepted) << result.reason;
    }
}

TEST_F(LiveRabbitPublisher, CarriesABodyOfManyFrames) {
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));
    const std::string body(1'000'000, 'y');

    publish(publisher, "e-1", body);
    ASSERT_TRUE(until([&] { return !results.empty(); }));

    LiveChannel channel(loop, amqp);
    const auto message = channel.take(names.main.queue);
    ASSERT_TRUE(message);
    EXPECT_TRUE(message->body == body);
}

TEST_F(LiveRabbitPublisher, RejectsAtOnceWithoutAConnection) {
    amqp.brokers[0].endpoint.port = 1;
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();

    publish(publisher, "e-1");

    ASSERT_EQ(results.size(), 1U);
    EXPECT_EQ(results[0].outcome, PublishOutcome::rejected);
    EXPECT_EQ(results[0].reason, "not connected");
}

TEST_F(LiveRabbitPublisher, RejectsBeyondItsQueueBytes) {
    auto small = options();
    small.window = 1;
    small.queue_bytes = 100;
    RabbitPublisher publisher(loop, metrics, small, [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));

    publish(publisher, "e-1", std::string(90, 'x'));
    publish(publisher, "e-2", std::string(90, 'x'));
    publish(publisher, "e-3", std::string(90, 'x'));

    ASSERT_EQ(results.size(), 1U);
    EXPECT_EQ(results[0].reason, "overloaded");
    EXPECT_TRUE(until([&] { return results.size() == 3; }));
}

TEST_F(LiveRabbitPublisher, TakesOneThatIsLongerThanItsQueueWhenNothingElseWaits) {
    auto small = options();
    small.queue_bytes = 100;
    RabbitPublisher publisher(loop, metrics, small, [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));

    publish(publisher, "e-1", std::string(500, 'x'));

    ASSERT_TRUE(until([&] { return results.size() == 1; }));
    EXPECT_EQ(results[0].outcome, PublishOutcome::accepted) << results[0].reason;
}

TEST_F(LiveRabbitPublisher, RejectsWhatNoQueueWantsAndDeclaresTheQueueAgain) {
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));
    LiveChannel(loop, amqp).delete_queue(names.main.queue);

    publish(publisher, "e-1");
    ASSERT_TRUE(until([&] { return results.size() == 1; }));

    EXPECT_EQ(results[0].outcome, PublishOutcome::rejected);
    EXPECT_THAT(results[0].reason, ::testing::HasSubstr("NO_ROUTE"));
    const bool recovered = until([&] {
        publish(publisher, "e-2");
        const std::size_t before = results.size();
        return until([&] { return results.size() > before; }) && results.back().outcome == PublishOutcome::accepted;
    });
    EXPECT_TRUE(recovered);
}

TEST_F(LiveRabbitPublisher, UsesAClassicMainQueueThatExists) {
    LiveChannel channel(loop, amqp);
    channel.call([&](std::uint16_t n) { return amqp::queue_declare(n, names.main.queue, amqp::Passive::no, {}); });
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));

    publish(publisher, "e-1");
    ASSERT_TRUE(until([&] { return !results.empty(); }));

    EXPECT_EQ(results[0].outcome, PublishOutcome::accepted) << results[0].reason;
    EXPECT_EQ(channel.depth(names.main.queue), 1U);
    EXPECT_THAT(metrics.expose(), ::testing::HasSubstr(names.main.queue));
}

TEST_F(LiveRabbitPublisher, StopsOnlyWhenEverythingIsAnswered) {
    RabbitPublisher publisher(loop, metrics, options(), [](bool) {});
    publisher.start();
    ASSERT_TRUE(until([&] { return publisher.is_open(); }));
    publish(publisher, "e-1");

    std::size_t answered = 0;
    bool stopped = false;
    publisher.stop([&] {
        stopped = true;
        answered = results.size();
    });
    publish(publisher, "e-2");
    ASSERT_TRUE(until([&] { return stopped; }));

    EXPECT_EQ(answered, 2U);
    EXPECT_EQ(results[0].reason, "stopping");
    EXPECT_EQ(results[1].outcome, PublishOutcome::accepted);
}

}  // namespace
}  // namespace boardbus::transport

// The two observers of a message's way: what they leave, and that they change nothing else.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "transport/memory_queue.h"
#include "transport/traced_publisher.h"
#include "transport/traced_source.h"

namespace boardbus::transport {
namespace {

using board::PublishOutcome;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr const char* kSender = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr const char* kUnsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Answers when the test says so.
struct Bus final : board::Publisher {
    void publish(board::Publication publication, board::PublishDone done) override {
        seen.push_back(std::move(publication));
        waiting.push_back(std::move(done));
    }
    std::vector<board::Publication> seen;
    std::vector<board::PublishDone> waiting;
};

struct Queue final : board::DeliverySource {
    void start(board::DeliverySink& taker) override { sink = &taker; }
    void release() override { sink->on_source_reset(); }
    void settle(std::uint64_t tag, board::Verdict verdict) override { settled.emplace_back(tag, verdict.kind); }

    board::DeliverySink* sink = nullptr;
    std::vector<std::pair<std::uint64_t, board::Verdict::Kind>> settled;
};

struct Taker final : board::DeliverySink {
    void on_deliveries(std::vector<board::Delivery> deliveries) override { taken += deliveries.size(); }
    void on_copied(std::uint64_t tag) override { copied.push_back(tag); }
    void on_source_reset() override { ++resets; }
    std::size_t taken = 0;
    std::vector<std::uint64_t> copied;
    int resets = 0;
};

struct TraceKeeper final : board::DeliverySink {
    void on_deliveries(std::vector<board::Delivery> deliveries) override { traces.push_back(deliveries.at(0).trace); }
    void on_copied(std::uint64_t) override {}
    void on_source_reset() override {}
    std::vector<std::optional<TraceContext>> traces;
};

board::Publication publication(std::string traceparent) {
    return {.event_id = "e-1",
            .board_id = "secret-board",
            .correlation_id = "c-1",
            .body = "secret-body",
            .published_at = WallTime(std::chrono::seconds(1)),
            .traceparent = std::move(traceparent)};
}

class TracedPublisherTest : public testing::Test {
  protected:
    Bus bus;
    telemetry::SpanBuffer spans;
    TracedPublisher publisher{bus, spans, {.system = "rabbitmq", .destination = "events"}};
    std::vector<board::PublishResult> answers;

    board::PublishDone keep() {
        return [this](board::PublishResult result) { answers.push_back(std::move(result)); };
    }
};

TEST_F(TracedPublisherTest, TheSpanIsTheSendersChildAndTheTraceparentThatTravelsOn) {
    publisher.publish(publication(kSender), keep());
    const auto travels = parse_traceparent(bus.seen.at(0).traceparent);
    EXPECT_EQ(spans.size(), 0U);
    bus.waiting[0]({PublishOutcome::accepted, {}});

    ASSERT_TRUE(travels);
    const std::string own = to_traceparent(*travels).substr(36, 16);
    EXPECT_NE(own, "00f067aa0ba902b7");
    const std::string span = spans.take(1).spans;
    EXPECT_THAT(span, HasSubstr(R"("traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":")" + own +
                                R"(","parentSpanId":"00f067aa0ba902b7","name":"publish","kind":4)"));
    EXPECT_THAT(span, HasSubstr(R"("startTimeUnixNano":"1000000000")"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"messaging.system","value":{"stringValue":"rabbitmq"}})"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"messaging.message.id","value":{"stringValue":"e-1"}})"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"messaging.message.conversation_id","value":{"stringValue":"c-1"}})"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"boardbus.outcome","value":{"stringValue":"accepted"}})"));
    EXPECT_THAT(span, Not(HasSubstr("status")));
    EXPECT_THAT(span, Not(HasSubstr("secret")));
    ASSERT_THAT(answers, SizeIs(1));
    EXPECT_EQ(answers[0].outcome, PublishOutcome::accepted);
}

TEST_F(TracedPublisherTest, WithoutASenderATraceBegins) {
    publisher.publish(publication(""), keep());
    bus.waiting[0]({PublishOutcome::accepted, {}});

    EXPECT_TRUE(parse_traceparent(bus.seen[0].traceparent)->sampled);
    EXPECT_THAT(spans.take(1).spans, Not(HasSubstr("parentSpanId")));
}

TEST_F(TracedPublisherTest, WhatIsNotSampledPassesUnseen) {
    publisher.publish(publication(kUnsampled), keep());
    bus.waiting[0]({PublishOutcome::accepted, {}});

    EXPECT_EQ(bus.seen[0].traceparent, kUnsampled);
    EXPECT_EQ(spans.size(), 0U);
    EXPECT_THAT(answers, SizeIs(1));
}

TEST_F(TracedPublisherTest, WhatTheBusDidNotTakeIsAnError) {
    publisher.publish(publication(kSender), keep());
    publisher.publish(publication(kSender), keep());
    bus.waiting[0]({PublishOutcome::rejected, "not connected"});
    bus.waiting[1]({PublishOutcome::unknown, ""});

    EXPECT_THAT(spans.take(1).spans, HasSubstr(R"("status":{"code":2,"message":"not connected"})"));
    EXPECT_THAT(spans.take(1).spans, HasSubstr(R"("status":{"code":2,"message":"unknown"})"));
    ASSERT_THAT(answers, SizeIs(2));
    EXPECT_EQ(answers[0].reason, "not connected");
}

class TracedSourceTest : public testing::Test {
  protected:
    TracedSourceTest() { source.start(taker); }

    void hand_out(std::uint64_t tag, const char* traceparent) {
        std::vector<board::Delivery> batch;
        batch.push_back({.tag = tag, .body = "secret-body", .trace = parse_traceparent(traceparent)});
        queue.sink->on_deliveries(std::move(batch));
    }

    Queue queue;
    Taker taker;
    telemetry::SpanBuffer spans;
    TracedSource source{queue, spans, {.system = "memory", .destination = "main"}};
};

TEST_F(TracedSourceTest, TheSpanIsThePublicationsChild) {
    hand_out(7, kSender);
    EXPECT_EQ(taker.taken, 1U);
    source.settle(7, {.kind = board::Verdict::Kind::ack, .attempts = 2, .event_id = "e-1", .board_id = "secret-board"});

    const std::string span = spans.take(1).spans;
    EXPECT_THAT(span, HasSubstr(R"("traceId":"4bf92f3577b34da6a3ce929d0e0e4736")"));
    EXPECT_THAT(span, HasSubstr(R"("parentSpanId":"00f067aa0ba902b7","name":"process","kind":5)"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"messaging.message.id","value":{"stringValue":"e-1"}})"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"boardbus.attempts","value":{"intValue":"2"}})"));
    EXPECT_THAT(span, HasSubstr(R"({"key":"boardbus.verdict","value":{"stringValue":"ack"}})"));
    EXPECT_THAT(span, Not(HasSubstr("status")));
    EXPECT_THAT(span, Not(HasSubstr("secret")));
    EXPECT_THAT(queue.settled, testing::ElementsAre(std::pair(std::uint64_t{7}, board::Verdict::Kind::ack)));
}

TEST_F(TracedSourceTest, ARetryAndADeadLetterAreErrorsWithoutTheMessagesWords) {
    hand_out(1, kSender);
    hand_out(2, kSender);
    source.settle(1, {.kind = board::Verdict::Kind::retry, .error = "secret"});
    source.settle(2, {.kind = board::Verdict::Kind::dead_letter, .reason = "invalid_payload", .error = "secret"});

    const std::string both = spans.take(2).spans;
    EXPECT_THAT(both, HasSubstr(R"("status":{"code":2,"message":"retry"})"));
    EXPECT_THAT(both, HasSubstr(R"("status":{"code":2,"message":"invalid_payload"})"));
    EXPECT_THAT(both, Not(HasSubstr("secret")));

    queue.sink->on_copied(2);
    EXPECT_THAT(taker.copied, testing::ElementsAre(2));
}

TEST_F(TracedSourceTest, ANewTraceBeginsWithoutATraceparentAndNoneWhenNotSampled) {
    hand_out(1, "");
    hand_out(2, kUnsampled);
    source.settle(1, {});
    source.settle(2, {});

    const auto batch = spans.take(5);
    EXPECT_EQ(batch.count, 1U);
    EXPECT_THAT(batch.spans, Not(HasSubstr("parentSpanId")));
    EXPECT_THAT(queue.settled, SizeIs(2));
}

TEST_F(TracedSourceTest, WhatGoesBackToItsQueueLeavesNoSpan) {
    hand_out(1, kSender);
    source.release();
    source.settle(1, {});

    EXPECT_EQ(taker.resets, 1);
    EXPECT_EQ(spans.size(), 0U);
}

TEST(MemoryQueue, CarriesTheTraceOfAPublication) {
    Loop loop;
    telemetry::Metrics metrics;
    MemoryQueue queue(loop, metrics, {});
    TraceKeeper sink;
    queue.start(sink);

    queue.publish(publication(kSender), [](const auto&) {});
    loop.turn({});
    queue.publish(publication(""), [](const auto&) {});
    loop.turn({});

    EXPECT_THAT(sink.traces, testing::ElementsAre(parse_traceparent(kSender), std::nullopt));
}

}  // namespace
}  // namespace boardbus::transport

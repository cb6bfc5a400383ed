// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_consumer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <vector>

#include "transport/amqp_fake_broker.h"
#include "transport/rabbitmq_live.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;
using board::Verdict;

/// Takes everything and settles nothing by itself.
class Taker final : public board::DeliverySink {
  public:
    void on_deliveries(std::vector<board::Delivery> deliveries) override {
        ++batches;
        for (board::Delivery& delivery : deliveries) {
            got.push_back(std::move(delivery));
        }
    }
    void on_copied(std::uint64_t tag) override { copied.push_back(tag); }
    void on_source_reset() override { ++resets; }

    std::vector<board::Delivery> got;
    std::vector<std::uint64_t> copied;
    int batches = 0;
    int resets = 0;
};

class LiveRabbitConsumer : public LiveRabbit {
  protected:
    RabbitConsumerOptions options() { return {.connection = amqp, .topology = topology(), .prefetch = 256}; }

    /// The queues exist and the consumer consumes.
    void open(RabbitConsumer& consumer) {
        consumer.connect();
        consumer.start(taker);
        ASSERT_TRUE(until([&] { return consumer.is_open(); }));
    }

    void publish(LiveChannel& channel, const std::string& id, amqp::Table headers = {},
                 const std::string& body = "{}") {
        amqp::Properties properties;
        properties.message_id = id;
        properties.headers = std::move(headers);
        channel.publish(names.main.exchange, names.main.routing_key, properties, body);
    }

    bool got(std::size_t count) {
        return until([&] { return taker.got.size() >= count; });
    }

    /// The next consumer gets this message once more, and nothing else.
    void expect_back(const std::string& id) {
        taker.got.clear();
        RabbitConsumer again(loop, metrics, options(), [](bool) {});
        open(again);
        ASSERT_TRUE(got(1));

        EXPECT_FALSE(until([&] { return taker.got.size() > 1; }, 200ms));
        EXPECT_EQ(taker.got[0].message_id, id);
        EXPECT_TRUE(taker.got[0].redelivered);
    }

    Taker taker;
};

Verdict ack() {
    return {};
}
Verdict retry(int attempts, std::chrono::milliseconds delay) {
    return {.kind = Verdict::Kind::retry, .attempts = attempts, .delay = delay, .error = "redis said no"};
}
Verdict dead_letter(int attempts, std::string reason) {
    return {.kind = Verdict::Kind::dead_letter,
            .attempts = attempts,
            .reason = std::move(reason),
            .error = "bad",
            .event_id = "e-1",
            .board_id = "b"};
}

TEST_F(LiveRabbitConsumer, HandsOutInOrderAndInBatches) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);

    for (int i = 0; i < 500; ++i) {
        publish(channel, "e-" + std::to_string(i), {}, std::string(100, 'x'));
    }
    ASSERT_TRUE(got(256));
    EXPECT_FALSE(until([&] { return taker.got.size() > 256; }, 200ms)) << "more than the prefetch";
    for (std::size_t i = 0; i < 256; ++i) {
        consumer.settle(taker.got[i].tag, ack());
    }
    ASSERT_TRUE(got(500));

    for (std::size_t i = 0; i < 500; ++i) {
        ASSERT_EQ(taker.got[i].message_id, "e-" + std::to_string(i));
        ASSERT_EQ(taker.got[i].tag, i + 1);
    }
    EXPECT_LT(taker.batches, 400);
}

TEST_F(LiveRabbitConsumer, AcksSoThatNothingComesBack) {
    {
        RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
        open(consumer);
        LiveChannel channel(loop, amqp);
        for (int i = 0; i < 5; ++i) {
            publish(channel, "e-" + std::to_string(i));
        }
        ASSERT_TRUE(got(5));
        for (const std::size_t i : {4, 0, 1, 3}) {
            consumer.settle(taker.got[i].tag, ack());
        }
        bool stopped = false;
        consumer.stop([&] { stopped = true; });
        ASSERT_TRUE(until([&] { return stopped; }));
    }

    expect_back("e-2");
}

TEST_F(LiveRabbitConsumer, AcksBeforeLongThoughNothingMoreComes) {
    for (const auto type : {board::QueueType::quorum, board::QueueType::classic}) {
        names.queue_type = type;
        names.main.queue = prefix + (type == board::QueueType::quorum ? ".quorum" : ".classic");
        names.main.exchange = names.main.queue;
        taker.got.clear();
        LiveChannel channel(loop, amqp);
        {
            RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
            open(consumer);
            publish(channel, "e-0");
            publish(channel, "e-1");
            ASSERT_TRUE(got(2));
            consumer.settle(taker.got[0].tag, ack());
            for (int turn = 0; turn < 20; ++turn) {
                loop.turn(20ms);
            }
            // Dies: a stop would send the acks.
        }

        expect_back("e-1");
    }
}

TEST_F(LiveRabbitConsumer, HandsOutAndRetriesWhatHasHeadersTooDeepToRead) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);
    amqp::Table deep;
    for (int i = 0; i < 100; ++i) {
        amqp::Table outer;
        outer.emplace_back("n", std::move(deep));
        deep = std::move(outer);
    }
    publish(channel, "e-1", std::move(deep));
    ASSERT_TRUE(got(1));

    consumer.settle(taker.got[0].tag, retry(1, 50ms));
    EXPECT_TRUE(taker.copied.empty()) << "nobody has confirmed it yet";

    ASSERT_TRUE(got(2));
    EXPECT_EQ(taker.copied, std::vector{taker.got[0].tag});
    EXPECT_EQ(taker.got[1].message_id, "e-1");
    EXPECT_EQ(taker.got[1].retry_count, 1);
    EXPECT_EQ(taker.resets, 0);
}

TEST_F(LiveRabbitConsumer, RetriesThroughTheLevelQueueAndLosesNoHeader) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);
    publish(channel, "e-1", {{"traceparent", "00-1"}, {"CC", amqp::Array{std::string("elsewhere")}}}, "body");
    ASSERT_TRUE(got(1));

    const auto began = std::chrono::steady_clock::now();
    consumer.settle(taker.got[0].tag, retry(1, 300ms));
    ASSERT_TRUE(got(2));
    const auto waited = std::chrono::steady_clock::now() - began;
    consumer.settle(taker.got[1].tag, retry(2, 100ms));
    ASSERT_TRUE(got(3));
    consumer.settle(taker.got[2].tag, dead_letter(3, "retries_exhausted"));

    const auto dead = channel.take(names.dlq.queue);
    ASSERT_TRUE(dead);
    EXPECT_GE(waited, 300ms);
    EXPECT_EQ(taker.got[1].retry_count, 1);
    EXPECT_EQ(taker.got[2].retry_count, 2);
    EXPECT_FALSE(taker.got[2].redelivered);
    EXPECT_EQ(dead->body, "body");
    const amqp::Table& headers = dead->properties.headers;
    EXPECT_EQ(amqp::find_field(headers, "traceparent")->as_text(), "00-1");
    EXPECT_EQ(amqp::find_field(headers, "failure_reason")->as_text(), "retries_exhausted");
    EXPECT_EQ(amqp::find_field(headers, "error")->as_text(), "bad");
    EXPECT_EQ(amqp::find_field(headers, "x-retry-count")->as_integer(), 2);
    EXPECT_NE(amqp::find_field(headers, "x-first-failed-at"), nullptr);
    EXPECT_EQ(amqp::find_field(headers, "x-death"), nullptr);
    EXPECT_EQ(amqp::find_field(headers, "x-first-death-queue"), nullptr);
    EXPECT_EQ(amqp::find_field(headers, "CC"), nullptr);
    EXPECT_FALSE(dead->properties.expiration);
}

TEST_F(LiveRabbitConsumer, ReleaseReturnsEverythingInOrderAndStartResumes) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);
    for (int i = 0; i < 20; ++i) {
        publish(channel, "e-" + std::to_string(i));
    }
    ASSERT_TRUE(got(20));
    const std::uint64_t old_tag = taker.got.back().tag;

    consumer.release();
    ASSERT_TRUE(until([&] { return taker.resets == 1; }));
    taker.got.clear();
    consumer.settle(old_tag, ack());
    consumer.start(taker);
    ASSERT_TRUE(got(20));

    for (std::size_t i = 0; i < 20; ++i) {
        EXPECT_EQ(taker.got[i].message_id, "e-" + std::to_string(i));
        EXPECT_GT(taker.got[i].tag, old_tag);
    }
}

TEST_F(LiveRabbitConsumer, ConsumesAgainWhenItsQueueWasDeleted) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);

    channel.delete_queue(names.main.queue);
    ASSERT_TRUE(until([&] { return !consumer.is_open(); }));
    ASSERT_TRUE(until([&] { return consumer.is_open(); }));
    publish(channel, "e-1");

    EXPECT_TRUE(got(1));
    EXPECT_EQ(taker.resets, 1);
}

TEST_F(LiveRabbitConsumer, KeepsTheOriginalUntilTheLostLevelIsBack) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);
    publish(channel, "e-1");
    ASSERT_TRUE(got(1));

    channel.delete_queue(names.retry.queue);
    consumer.settle(taker.got[0].tag, retry(1, 50ms));

    ASSERT_TRUE(got(2));
    EXPECT_EQ(taker.got[1].retry_count, 1);
    consumer.settle(taker.got[1].tag, ack());
    EXPECT_TRUE(until([&] { return channel.depth(names.main.queue) == 0; }));
}

TEST_F(LiveRabbitConsumer, ReplacesAForeignLevelByItsOwn) {
    LiveChannel channel(loop, amqp);
    channel.call([&](std::uint16_t n) { return amqp::queue_declare(n, names.retry.queue, amqp::Passive::no, {}); });
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    publish(channel, "e-1");
    ASSERT_TRUE(got(1));

    consumer.settle(taker.got[0].tag, retry(1, 50ms));

    EXPECT_TRUE(got(2));
    EXPECT_EQ(channel.depth(names.retry.queue), 0U);
}

TEST_F(LiveRabbitConsumer, LeavesAnOversizedMessageToTheBroker) {
    RabbitConsumer consumer(loop, metrics, options(), [](bool) {});
    open(consumer);
    LiveChannel channel(loop, amqp);
    const std::string body(kBodyMax + 1, 'x');

    publish(channel, "big", {}, body);
    publish(channel, "small");
    ASSERT_TRUE(got(1));

    EXPECT_EQ(taker.got[0].message_id, "small");
    EXPECT_TRUE(until([&] { return channel.depth(names.dlq.queue) == 1; }));
}

/// A consumer of a main queue without a dead-letter route, and a broker that answers its requests.
class RabbitConsumerTest : public AmqpWithBroker {
  protected:
    static constexpr std::uint16_t kChannel = 2;  // The first is the topology's.

    RabbitConsumerOptions options() {
        RabbitConsumerOptions options{.connection = AmqpWithBroker::options(),
                                      .topology = board::make_topology({}),
                                      .prefetch = 256,
                                      .dlq_watch = DlqWatch::no};
        options.topology.main.arguments.clear();
        return options;
    }

    void open() {
        consumer.connect();
        consumer.start(taker);
        broker.welcome();
        ASSERT_TRUE(until([this] {
            answer();
            return consumer.is_open();
        }));
    }

    void answer() {
        const auto heard = broker.heard();
        for (; answered < heard.size(); ++answered) {
            const std::string& what = heard[answered];
            if (what == "20.10") {
                broker.begin(20, 11).u32(0);
                broker.say(++channels);
            } else if (what == "40.10") {
                broker.begin(40, 11);
                broker.say(1);
            } else if (what == "50.10") {
                broker.begin(50, 11).short_string("q").u32(0).u32(0);
                broker.say(1);
            } else if (what == "50.20") {
                broker.begin(50, 21);
                broker.say(1);
            } else if (what == "60.10") {
                broker.begin(60, 11);
                broker.say(kChannel);
            } else if (what == "60.20") {
                broker.begin(60, 21).short_string("boardbus");
                broker.say(kChannel);
            }
        }
    }

    void deliver(int count, std::size_t body_size) {
        std::string frames;
        for (; count > 0; --count) {
            std::string method;
            amqp::Writer(method).u16(60).u16(60).short_string("boardbus").u64(++tag).u8(0);
            amqp::Writer(method).short_string("").short_string("");
            amqp::put_frame(frames, amqp::FrameType::method, kChannel, method);
            std::string header;
            amqp::Writer(header).u16(60).u16(0).u64(body_size).u16(0);
            amqp::put_frame(frames, amqp::FrameType::header, kChannel, header);
            for (std::size_t left = body_size; left > 0;) {
                const std::size_t size = std::min<std::size_t>(left, 65536);
                amqp::put_frame(frames, amqp::FrameType::body, kChannel, std::string(size, 'x'));
                left -= size;
                if (left > 0) {
                    broker.raw(std::exchange(frames, {}));
                    loop.turn(0ms);
                }
            }
        }
        broker.raw(frames);
    }
    /// So many small ones, which the taker then has.
    void deliver(int count) {
        const std::size_t then = taker.got.size() + static_cast<std::size_t>(count);
        deliver(count, 2);
        ASSERT_TRUE(until([&] { return taker.got.size() == then; }));
    }

    std::ptrdiff_t acks() { return std::ranges::count(broker.heard(), "60.80"); }

    telemetry::Metrics metrics;
    Taker taker;
    RabbitConsumer consumer{loop, metrics, options(), [](bool) {}};
    std::size_t answered = 0;
    std::uint16_t channels = 0;
    std::uint64_t tag = 0;
};

TEST_F(RabbitConsumerTest, KeepsNothingOfWhatIsAckedBehindAMessageThatItHolds) {
    open();
    deliver(1, kBodyMax + 1);

    for (int i = 0; i < 6; ++i) {
        deliver(100);
        for (const board::Delivery& delivery : std::exchange(taker.got, {})) {
            consumer.settle(delivery.tag, ack());
        }
        loop.turn(0ms);
    }

    EXPECT_TRUE(until([&] { return acks() == 600; })) << "one by one: together they would let the held one go";
    EXPECT_EQ(consumer.unsettled(), 1U);
}

TEST_F(RabbitConsumerTest, AcksEachOnceThoughSomeAreOvertaken) {
    open();
    deliver(200);
    for (std::uint64_t one = 1; one <= 200; ++one) {
        if (one % 4 != 1) {
            consumer.settle(one, ack());
        }
    }
    ASSERT_TRUE(until([&] { return acks() == 150; }));
    EXPECT_EQ(consumer.unsettled(), 50U);
    consumer.settle(2, ack());  // Acked already.
    for (const std::uint64_t one : {197, 5, 101}) {
        consumer.settle(one, ack());
    }
    ASSERT_TRUE(until([&] { return acks() == 153; }));
    EXPECT_EQ(consumer.unsettled(), 47U);

    for (std::uint64_t one = 1; one <= 200; ++one) {
        consumer.settle(one, ack());
    }
    ASSERT_TRUE(until([&] { return acks() > 153; }));

    EXPECT_EQ(acks(), 154) << "all the rest together";
    EXPECT_EQ(consumer.unsettled(), 0U);
    deliver(1);
    EXPECT_EQ(taker.got.back().tag, 201U);
}

}  // namespace
}  // namespace boardbus::transport

// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_connection.h"

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/amqp_channel.h"
#include "transport/amqp_fake_broker.h"

namespace boardbus::transport {
namespace {

class TimedAmqpConnection : public AmqpWithBroker {};

TEST_F(TimedAmqpConnection, AnswersTheHandshakeAndCloses) {
    const auto connection = opened(options());
    EXPECT_THAT(broker.heard(), ::testing::ElementsAre("10.11", "10.31", "10.40"));

    bool stopped = false;
    connection->stop([&] { stopped = true; });
    ASSERT_TRUE(until([&] { return broker.has_heard("10.50"); }));
    EXPECT_FALSE(stopped);
    broker.begin(10, 51);
    broker.say(0);

    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_FALSE(connection->is_open());
    EXPECT_TRUE(losses.empty());
}

TEST_F(TimedAmqpConnection, ComesBackAfterALoss) {
    const auto connection = opened(options());

    broker.hang_up();
    broker.welcome();

    EXPECT_TRUE(until([&] { return connected == 2; }));
    EXPECT_EQ(losses.size(), 1U);
}

TEST_F(TimedAmqpConnection, GivesUpASilentHandshakeAndTriesAgain) {
    AmqpConnection connection(loop, *this, options());
    connection.start();
    broker.accept();

    ASSERT_TRUE(until([&] { return losses.size() == 1; }));
    EXPECT_EQ(losses[0].code, Errc::timeout);
    broker.welcome();
    EXPECT_TRUE(until([&] { return connected == 1; }));
}

TEST_F(TimedAmqpConnection, TakesTheNextBrokerAtOnce) {
    auto two = options();
    two.brokers.insert(two.brokers.begin(), AmqpUrl{.endpoint = {.host = "127.0.0.1", .port = 1}});
    two.reconnect_initial = two.reconnect_max = 1h;

    const auto connection = opened(two);

    EXPECT_EQ(losses.size(), 1U);
}

TEST_F(TimedAmqpConnection, SaysWhatTheBrokerSaidWhenItClosed) {
    const auto connection = opened(options());

    broker.begin(10, 50).u16(320).short_string("CONNECTION_FORCED - shutdown").u32(0);
    broker.say(0);

    ASSERT_TRUE(until([&] { return !losses.empty(); }));
    EXPECT_EQ(losses[0].detail, "320 CONNECTION_FORCED - shutdown");
    EXPECT_TRUE(until([&] { return broker.has_heard("10.51"); }));
}

TEST_F(TimedAmqpConnection, SendsHeartbeatsAndMissesThem) {
    AmqpConnection connection(loop, *this, options());
    connection.start();
    broker.welcome(1);

    EXPECT_TRUE(until([&] { return broker.has_heard("hb"); }));
    ASSERT_TRUE(until([&] { return !losses.empty(); }));
    EXPECT_EQ(losses[0].code, Errc::timeout);
}

TEST_F(TimedAmqpConnection, DropsABrokerThatBreaksTheProtocol) {
    for (const std::string& bytes : {std::string("HTTP/1.1 400\r\n"), amqp::qos(9, 1), amqp::channel_open(0)}) {
        losses.clear();
        connected = 0;
        const auto connection = opened(options());

        broker.raw(bytes);

        ASSERT_TRUE(until([&] { return !losses.empty(); })) << bytes;
        EXPECT_EQ(losses[0].code, Errc::invalid);
    }
}

TEST_F(TimedAmqpConnection, RefusesABrokerThatAllowsTooFewChannels) {
    auto many = options();
    many.channels = 9;
    AmqpConnection connection(loop, *this, many);
    connection.start();
    broker.welcome(0, 131072, 8);

    ASSERT_TRUE(until([&] { return !losses.empty(); }));
    EXPECT_EQ(losses[0].code, Errc::refused);
    EXPECT_EQ(losses[0].detail, "the broker allows 8 channels on a connection (channel_max), needed are 9");
    broker.welcome(0, 131072, 9);
    EXPECT_TRUE(until([&] { return connected == 1; }));
}

TEST_F(TimedAmqpConnection, IsLostWhenNoChannelNumberIsLeft) {
    AmqpConnection connection(loop, *this, options());
    connection.start();
    broker.welcome(0, 131072, 4);
    ASSERT_TRUE(until([&] { return connected == 1; }));
    std::vector<std::unique_ptr<AmqpChannel>> channels;
    std::vector<Errc> ends;

    for (int i = 0; i < 5; ++i) {
        channels.push_back(std::make_unique<AmqpChannel>(loop, connection, *this));
        channels.back()->open([&](const auto& answer) { ends.push_back(answer.error().code); });
    }

    ASSERT_EQ(losses.size(), 1U);
    EXPECT_EQ(losses[0].detail, "no channel number left of 4");
    EXPECT_EQ(ends, std::vector<Errc>(5, Errc::overloaded));
    broker.welcome();
    EXPECT_TRUE(until([&] { return connected == 2; }));
}

TEST_F(TimedAmqpConnection, TellsThatItIsBlocked) {
    const auto connection = opened(options());

    broker.begin(10, 60).short_string("low on memory");
    broker.say(0);
    ASSERT_TRUE(until([&] { return connection->is_blocked(); }));
    broker.begin(10, 61);
    broker.say(0);
    ASSERT_TRUE(until([&] { return !connection->is_blocked(); }));

    EXPECT_EQ(blocked, (std::vector<bool>{true, false}));
}

TEST_F(TimedAmqpConnection, EndsTheChannelsOfALostConnectionBeforeItsBlock) {
    const auto connection = opened(options());
    AmqpChannel channel(loop, *connection, *this);
    std::optional<std::size_t> hearings;  // Of the owner, when the channel heard.
    channel.open([&](const auto&) { hearings = blocked.size(); });
    broker.begin(10, 60).short_string("low on memory");
    broker.say(0);
    ASSERT_TRUE(until([&] { return connection->is_blocked(); }));

    broker.hang_up();

    ASSERT_TRUE(until([&] { return !losses.empty(); }));
    EXPECT_EQ(hearings, 1U);
    EXPECT_EQ(blocked, (std::vector<bool>{true, false}));
}

TEST_F(TimedAmqpConnection, AnswersARequestWithTheChannelsEnd) {
    const auto connection = opened(options());
    AmqpChannel channel(loop, *connection, *this);
    channel.open([](const auto&) {});
    broker.channel_open_ok();
    ASSERT_TRUE(until([&] { return channel.is_open(); }));

    std::optional<Result<amqp::Method>> first;
    std::optional<Result<amqp::Method>> second;
    channel.call(amqp::qos(1, 1), [&](auto answer) { first = std::move(answer); });
    channel.call(amqp::qos(1, 2), [&](auto answer) { second = std::move(answer); });
    broker.begin(20, 40).u16(406).short_string("PRECONDITION_FAILED").u32(0);
    broker.say(1);

    ASSERT_TRUE(until([&] { return second.has_value(); }));
    EXPECT_EQ(first->error().detail, "406 PRECONDITION_FAILED");
    EXPECT_EQ(second->error().code, Errc::refused);
    EXPECT_EQ(channel_losses.size(), 1U);
    EXPECT_TRUE(connection->is_open());
    EXPECT_TRUE(until([&] { return broker.has_heard("20.41"); }));
}

TEST_F(TimedAmqpConnection, ABrokerThatGoesAwayHasRefusedNoRequest) {
    const auto connection = opened(options());
    AmqpChannel channel(loop, *connection, *this);
    std::optional<Result<amqp::Method>> answer;
    channel.open([&](auto got) { answer = std::move(got); });

    broker.begin(10, 50).u16(320).short_string("CONNECTION_FORCED - shutdown").u32(0);
    broker.say(0);

    ASSERT_TRUE(until([&] { return answer.has_value(); }));
    EXPECT_EQ(answer->error().code, Errc::unavailable);
    EXPECT_EQ(losses[0].code, Errc::refused);
}

TEST_F(TimedAmqpConnection, DropsABrokerThatDoesNotAnswer) {
    const auto connection = opened(options());
    AmqpChannel channel(loop, *connection, *this);

    std::optional<Result<amqp::Method>> answer;
    channel.open([&](auto got) { answer = std::move(got); });

    ASSERT_TRUE(until([&] { return answer.has_value(); }));
    EXPECT_EQ(answer->error().code, Errc::timeout);
    EXPECT_EQ(losses.size(), 1U);
}

TEST_F(TimedAmqpConnection, PutsAMessageTogetherByteByByte) {
    const auto connection = opened(options());
    AmqpChannel channel(loop, *connection, *this);
    channel.open([](const auto&) {});
    broker.channel_open_ok();
    ASSERT_TRUE(until([&] { return channel.is_open(); }));
    std::string bytes;
    std::string payload;
    amqp::Writer(payload).u32(60U << 16 | 60U).short_string("t").u64(1).u8(0).short_string("e").short_string("k");
    amqp::put_frame(bytes, amqp::FrameType::method, 1, payload);
    payload.clear();
    amqp::Writer(payload).u16(60).u16(0).u64(6).u16(0);
    amqp::put_frame(bytes, amqp::FrameType::header, 1, payload);
    amqp::put_frame(bytes, amqp::FrameType::body, 1, "abc");
    amqp::put_frame(bytes, amqp::FrameType::body, 1, "def");

    for (const char byte : bytes) {
        broker.raw(std::string_view(&byte, 1));
        loop.turn(0ms);
    }

    ASSERT_TRUE(until([&] { return messages.size() == 1; }));
    EXPECT_EQ(messages[0].body, "abcdef");
}

}  // namespace
}  // namespace boardbus::transport

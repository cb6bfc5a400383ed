// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_connection.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "transport/amqp_channel.h"
#include "transport/amqp_confirm_channel.h"
#include "transport/listener.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

/// A broker that says what the test tells it to say, and shows what it heard.
class Broker {
  public:
    explicit Broker(Loop& loop) : loop_(loop) {}

    AmqpUrl url() const { return {.endpoint = listener_.endpoint()}; }

    /// Takes the connection and goes through the handshake.
    void welcome(std::uint16_t heartbeat = 0, std::uint32_t frame_max = 131072) {
        accept();
        begin(10, 10).u8(0).u8(9).table({}).long_string("AMQPLAIN PLAIN").long_string("en_US");
        say(0);
        begin(10, 30).u16(2047).u32(frame_max).u16(heartbeat);
        say(0);
        begin(10, 41).short_string("");
        say(0);
    }
    void accept() {
        client_ = listener_.accept(loop_);
        reader_ = {};
        heard_.clear();
    }
    void hang_up() { client_.reset(); }

    amqp::Writer begin(std::uint32_t class_id, std::uint32_t method_id) {
        payload_.clear();
        amqp::Writer writer(payload_);
        writer.u32(class_id << 16 | method_id);
        return writer;
    }
    void say(std::uint16_t channel) {
        std::string frame;
        amqp::put_frame(frame, amqp::FrameType::method, channel, payload_);
        raw(frame);
    }
    void raw(std::string_view bytes) {
        EXPECT_EQ(::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    void channel_open_ok() {
        begin(20, 11).u32(0);
        say(1);
    }
    void ack(std::uint64_t tag, bool multiple) {
        begin(60, 80).u64(tag).u8(multiple ? 1 : 0);
        say(1);
    }
    void nack(std::uint64_t tag) {
        begin(60, 120).u64(tag).u8(0);
        say(1);
    }

    /// Methods heard since the start of this connection, as class.method, and "hb" for a heartbeat.
    const std::vector<std::string>& heard() {
        char bytes[65536];
        for (ssize_t size = 0; (size = ::recv(client_.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) {
            std::string_view input(bytes, static_cast<std::size_t>(size));
            if (input.starts_with("AMQP")) {
                input.remove_prefix(8);
            }
            reader_.feed(input);
        }
        while (auto frame = reader_.next()) {
            if (!*frame) {
                break;
            }
            if ((*frame)->type == amqp::FrameType::heartbeat) {
                heard_.push_back("hb");
            } else if ((*frame)->type == amqp::FrameType::method) {
                amqp::Reader reader((*frame)->payload);
                const std::uint16_t class_id = reader.u16();
                heard_.push_back(std::to_string(class_id) + '.' + std::to_string(reader.u16()));
            }
        }
        return heard_;
    }
    bool has_heard(const std::string& what) { return ::testing::Value(heard(), ::testing::Contains(what)); }

  private:
    Loop& loop_;
    Listener listener_;
    UniqueFd client_;
    amqp::FrameReader reader_;
    std::string payload_;
    std::vector<std::string> heard_;
};

class TimedAmqpConnection : public ::testing::Test, public AmqpConnectionOwner, public AmqpChannelOwner {
  protected:
    AmqpOptions options() {
        AmqpOptions options;
        options.brokers = {broker.url()};
        options.connect_timeout = 300ms;
        options.rpc_timeout = 300ms;
        options.reconnect_initial = 20ms;
        options.reconnect_max = 40ms;
        return options;
    }

    bool until(const std::function<bool()>& condition) {
        const auto end = std::chrono::steady_clock::now() + 5s;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            loop.turn(10ms);
        }
        return condition();
    }

    /// A connection that is open.
    std::unique_ptr<AmqpConnection> opened(const AmqpOptions& with) {
        auto connection = std::make_unique<AmqpConnection>(loop, *this, with);
        connection->start();
        broker.welcome();
        EXPECT_TRUE(until([&] { return connected == 1; }));
        return connection;
    }

    void on_connected() override { ++connected; }
    void on_disconnected(const Error& error) override { losses.push_back(error); }
    void on_blocked(bool now) override { blocked.push_back(now); }
    void on_channel_lost(const Error& error) override { channel_losses.push_back(error); }
    void on_message(AmqpMessage message) override { messages.push_back(std::move(message)); }

    Loop loop;
    Broker broker{loop};
    int connected = 0;
    std::vector<Error> losses;
    std::vector<bool> blocked;
    std::vector<Error> channel_losses;
    std::vector<AmqpMessage> messages;
};

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

class ConfirmChannelTest : public TimedAmqpConnection {
  protected:
    void SetUp() override {
        connection = opened(options());
        channel.emplace(loop, *connection, [](bool) {});
        channel->open();
        broker.channel_open_ok();
        broker.begin(85, 11);
        broker.say(1);
        ASSERT_TRUE(until([&] { return channel->is_open(); }));
    }
    void publish(const std::string& id) {
        amqp::Properties properties;
        properties.message_id = id;
        channel->publish({"e", "k", properties, "body"},
                         [this, id](Confirm confirm, std::string_view) { answers.emplace_back(id, confirm); });
    }
    void give_back(const std::string& id) {
        broker.begin(60, 50).u16(312).short_string("NO_ROUTE").short_string("e").short_string("k");
        broker.say(1);
        amqp::Properties properties;
        properties.message_id = id;
        std::string header;
        amqp::Writer(header).u16(60).u16(0).u64(4);
        amqp::put_properties(header, properties);
        std::string frames;
        amqp::put_frame(frames, amqp::FrameType::header, 1, header);
        amqp::put_frame(frames, amqp::FrameType::body, 1, "body");
        broker.raw(frames);
    }
    bool answered(std::size_t count) {
        return until([&] { return answers.size() >= count; });
    }

    using Answers = std::vector<std::pair<std::string, Confirm>>;
    std::unique_ptr<AmqpConnection> connection;
    std::optional<ConfirmChannel> channel;
    Answers answers;
};

TEST_F(ConfirmChannelTest, TakesConfirmsInAnyOrderAndSeveralAtOnce) {
    for (const char* id : {"1", "2", "3", "4", "5"}) {
        publish(id);
    }

    broker.ack(4, false);
    broker.nack(2);
    broker.ack(3, true);
    ASSERT_TRUE(answered(4));

    EXPECT_EQ(
        answers,
        (Answers{
            {"4", Confirm::confirmed}, {"2", Confirm::refused}, {"1", Confirm::confirmed}, {"3", Confirm::confirmed}}));
    EXPECT_EQ(channel->unconfirmed(), 1U);
    broker.ack(0, true);
    ASSERT_TRUE(answered(5));
    EXPECT_EQ(channel->unconfirmed(), 0U);
}

TEST_F(ConfirmChannelTest, AReturnedMessageIsNotConfirmed) {
    publish("1");
    publish("2");

    give_back("2");
    broker.ack(2, true);

    ASSERT_TRUE(answered(2));
    EXPECT_EQ(answers, (Answers{{"1", Confirm::confirmed}, {"2", Confirm::returned}}));
}

TEST_F(ConfirmChannelTest, AReturnFindsItsMessageByAnIdOfAnyLength) {
    const std::string id(36, '7');
    publish(id);

    give_back(id);
    broker.ack(1, false);

    ASSERT_TRUE(answered(1));
    EXPECT_EQ(answers, (Answers{{id, Confirm::returned}}));
}

TEST_F(ConfirmChannelTest, EqualMessagesAreReturnedOneByOne) {
    publish("1");
    publish("1");

    give_back("1");
    broker.ack(1, false);
    give_back("1");
    broker.ack(2, false);

    ASSERT_TRUE(answered(2));
    EXPECT_EQ(answers, (Answers{{"1", Confirm::returned}, {"1", Confirm::returned}}));
}

TEST_F(ConfirmChannelTest, AReturnThatNobodyCanPlaceMakesAllUnknown) {
    publish("1");

    give_back("stranger");

    ASSERT_TRUE(answered(1));
    EXPECT_EQ(answers, (Answers{{"1", Confirm::lost}}));
}

TEST_F(ConfirmChannelTest, AConfirmOfNothingMakesAllUnknown) {
    publish("1");

    broker.ack(7, false);

    ASSERT_TRUE(answered(1));
    EXPECT_EQ(answers[0].second, Confirm::lost);
}

TEST_F(ConfirmChannelTest, ALostConnectionLeavesTheUnansweredUnknown) {
    publish("1");
    publish("2");
    broker.ack(1, false);
    ASSERT_TRUE(answered(1));

    broker.hang_up();

    ASSERT_TRUE(answered(2));
    EXPECT_EQ(answers, (Answers{{"1", Confirm::confirmed}, {"2", Confirm::lost}}));
}

}  // namespace
}  // namespace boardbus::transport

// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_confirm_channel.h"

#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/amqp_fake_broker.h"

namespace boardbus::transport {
namespace {

class ConfirmChannelTest : public AmqpWithBroker {
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

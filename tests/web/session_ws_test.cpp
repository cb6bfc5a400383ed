// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "web/edge_fixture.h"
#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

using testing::HasSubstr;
using testing::Not;

class WsSessionTest : public EdgeTest {};

std::string close_frame(std::uint16_t code, std::string_view reason) {
    std::string frame;
    append_close(frame, code, reason);
    return frame;
}

TEST_F(WsSessionTest, SendsEachEventToEverySocketOfTheBoardAndToNoOther) {
    Client sender = open_ws();
    Client neighbour = open_ws();
    Client stranger = open_ws("/ws/boards/b2?token=secret");

    sender.send(client_frame(R"({"action":"draw","payload":{"x":1.0}})"));

    for (Client* client : {&sender, &neighbour}) {
        const std::string event = client->now();
        EXPECT_THAT(event, HasSubstr(R"("action":"draw")"));
        EXPECT_THAT(event, HasSubstr(R"("payload":{"x":1.0})"));
        EXPECT_THAT(event, HasSubstr(R"("active_connections":2)"));
    }
    EXPECT_EQ(stranger.now(), "");
}

TEST_F(WsSessionTest, CountsConnectionsDownWhenASocketGoes) {
    Client one = open_ws();
    Client two = open_ws();
    two.hang_up();
    loop.turn(std::chrono::milliseconds(10));

    EXPECT_EQ(hub.websockets("b1"), 1U);
    EXPECT_EQ(occupancy.websockets.taken(), 1U);
    EXPECT_EQ(occupancy.sockets.taken(), 1U);
}

TEST_F(WsSessionTest, AnswersWhatIsNoMessageAndStaysOpen) {
    Client client = open_ws();

    client.send(client_frame("[1]"));
    EXPECT_THAT(
        client.until("}"),
        HasSubstr(R"({"kind":"error","reason":"invalid_json","detail":"Messages must be valid JSON objects."})"));
    client.send(client_frame("{}"));
    EXPECT_THAT(client.until("]}"), HasSubstr(R"("reason":"validation_error")"));
    client.send(client_frame("hi", 9));
    EXPECT_EQ(client.until("hi"), "\x8a\x02hi");
}

TEST_F(WsSessionTest, TellsTheSenderWhenTheBusDidNotTakeTheMessage) {
    Client client = open_ws();
    bus.outcome = board::PublishOutcome::rejected;

    client.send(client_frame(R"({"action":"a"})"));

    EXPECT_THAT(client.until("}"), HasSubstr(R"("reason":"event_bus_failure")"));
}

TEST_F(WsSessionTest, ClosesAWrongTokenWith4401AfterTheHandshake) {
    Client client = open_ws("/ws/boards/b1?token=wrong");

    EXPECT_THAT(client.now(), HasSubstr("\x11\x31"));  // 4401
    EXPECT_EQ(hub.websockets("b1"), 0U);
}

TEST_F(WsSessionTest, InflatesNothingForASocketThatIsRefused) {
    Client client = connect();
    client.send(handshake("/ws/boards/b1?token=wrong", "Sec-WebSocket-Extensions: permessage-deflate\r\n"));

    EXPECT_THAT(client.until("\r\n\r\n"),
                testing::AllOf(HasSubstr(" 101 "), Not(HasSubstr("Sec-WebSocket-Extensions"))));
}

TEST_F(WsSessionTest, RefusesInTheOrderOfTheContract) {
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(occupancy.websockets.take());
    }
    Client no_board = connect();
    no_board.send(handshake("/ws/boards/%FF?token=wrong", "Origin: https://evil.example\r\n"));
    Client origin = connect();
    origin.send(handshake("/ws/boards/b?token=wrong", "Origin: https://evil.example\r\n"));
    Client token = open_ws("/ws/boards/b?token=wrong");
    Client full = open_ws("/ws/boards/b?token=secret");

    EXPECT_THAT(no_board.until("\r\n"), HasSubstr(" 404 "));
    EXPECT_THAT(origin.until("\r\n"), HasSubstr(" 403 "));
    EXPECT_THAT(token.now(), HasSubstr("\x11\x31"));
    EXPECT_THAT(full.now(), HasSubstr("\x03\xf5"));  // 1013
    EXPECT_EQ(occupancy.websockets.taken(), 100U);
}

TEST_F(WsSessionTest, RefusesAnOriginThatIsEmpty) {
    Client client = connect();
    client.send(handshake("/ws/boards/b?token=secret", "Origin:\r\n"));

    EXPECT_THAT(client.until("\r\n"), HasSubstr(" 403 "));
}

TEST_F(WsSessionTest, StopsReadingAtSixtyFourUnansweredMessagesAndGoesOnLater) {
    Client client = open_ws();
    bus.keeping = true;
    client.send(client_frames(100, R"({"action":"a"})"));
    client.now();
    EXPECT_EQ(bus.published.size(), 64U);
    bus.answer_all();
    client.now();

    EXPECT_EQ(bus.published.size(), 100U);
}

TEST_F(WsSessionTest, DoesABoundedPartOfASocketsWorkInATurnAndTheRestLater) {
    Client client = open_ws();
    std::string many;
    for (int i = 0; i < 3000; ++i) {
        many += client_frame("", 10) + client_frame("1");
    }

    client.send(many);
    loop.turn(std::chrono::milliseconds(10));
    const auto soon = edge().counters().messages_invalid.get();
    client.now();

    EXPECT_EQ(soon, 512U);
    EXPECT_EQ(edge().counters().messages_invalid.get(), 3000U);
    EXPECT_EQ(edge().counters().bytes_received.get(), many.size());
    EXPECT_EQ(edge().session_count(), 1U);
}

TEST_F(WsSessionTest, FindsTheCloseFrameOfASocketThatIsClosingBehindMuchElse) {
    Client client = open_ws("/ws/boards/b1?token=wrong");
    std::string many;
    for (int i = 0; i < 3000; ++i) {
        many += client_frame("1");
    }

    client.send(many + client_frame("\x03\xe8", 8));
    for (int i = 0; i < 5; ++i) {
        loop.turn(std::chrono::milliseconds(0));
    }

    EXPECT_EQ(edge().session_count(), 0U);
}

TEST_F(WsSessionTest, ForgetsAnAnswerWhoseSocketHasGone) {
    Client client = open_ws();
    bus.keeping = true;
    client.send(client_frame(R"({"action":"a"})"));
    client.now();
    client.hang_up();
    loop.turn(std::chrono::milliseconds(10));
    Client other = open_ws();

    bus.outcome = board::PublishOutcome::unknown;
    bus.answer_all();

    EXPECT_THAT(other.now(), Not(HasSubstr("event_bus_failure")));
}

TEST_F(WsSessionTest, LimitsTheMessagesOfASocketWhenToldTo) {
    options.message_rate_limit = RateLimit{2, std::chrono::seconds(60)};
    Client client = open_ws();

    for (int i = 0; i < 3; ++i) {
        client.send(client_frame(R"({"action":"a"})"));
    }

    EXPECT_THAT(client.until("rate_limited"), HasSubstr(R"("kind":"error")"));
    EXPECT_EQ(bus.published.size(), 2U);
}

TEST_F(WsSessionTest, AnswersACloseFrameAndEnds) {
    Client client = open_ws();

    client.send(client_frame("\x03\xe8", 8));

    EXPECT_EQ(client.until_end(), close_frame(1000, ""));
    EXPECT_EQ(edge().session_count(), 0U);
}

TEST_F(WsSessionTest, ClosesAReaderThatDoesNotKeepUpWith1013AndServesTheOthers) {
    Client slow = open_ws();
    Client quick = open_ws();
    const std::string message =
        client_frame(R"({"action":"a","payload":{"text":")" + std::string(50'000, 'x') + R"("}})");

    std::size_t got = 0;
    for (int i = 0; i < 20; ++i) {
        quick.send(message);
        got += quick.until("active_connections").size();
        quick.now();
    }
    loop.turn(std::chrono::milliseconds(0));

    EXPECT_GT(got, 20U * 50'000U);
    EXPECT_EQ(hub.websockets("b1"), 1U);
    EXPECT_THAT(slow.now(), HasSubstr("\x03\xf5reader too slow"));
    EXPECT_LE(slow_budget.used(), 512U << 10U);
}

// These wait for real time: they run after the others.
using TimedWsSessionTest = WsSessionTest;

TEST_F(TimedWsSessionTest, PingsAQuietSocketAndKeepsItWhileItAnswers) {
    options.ping_interval = std::chrono::seconds(0);
    Client client = open_ws();

    for (int i = 0; i < 2; ++i) {
        client.until(std::string_view("\x89\0", 2));
        client.send(client_frame("", 10));
    }

    client.now();
    EXPECT_EQ(edge().session_count(), 1U);
}

TEST_F(TimedWsSessionTest, DropsASocketThatDoesNotAnswerThePing) {
    options.ping_interval = std::chrono::seconds(0);
    options.pong_timeout = std::chrono::seconds(0);
    Client client = open_ws();

    EXPECT_EQ(client.until_end(), std::string_view("\x89\0", 2));
    EXPECT_EQ(edge().counters().pings_unanswered.get(), 1U);
}

TEST_F(TimedWsSessionTest, KeepsASocketWhoseInputWeHoldBackThoughItsPongIsNotRead) {
    options.ping_interval = std::chrono::seconds(0);
    options.pong_timeout = std::chrono::seconds(0);
    bus.keeping = true;
    Client client = connect();
    std::string all = handshake("/ws/boards/b1?token=secret");
    for (int i = 0; i < 64; ++i) {
        all += client_frame(R"({"action":"a"})");
    }
    client.send(all);
    client.until(std::string_view("\x89\0", 2));

    // Some answers come; still too few to read on.
    for (int i = 0; i < 10; ++i) {
        std::exchange(bus.kept.back(), nullptr)({board::PublishOutcome::accepted, ""});
        bus.kept.pop_back();
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
    while (std::chrono::steady_clock::now() < end) {
        loop.turn(std::chrono::milliseconds(10));
    }

    EXPECT_EQ(edge().session_count(), 1U);
}

TEST_F(WsSessionTest, HearsTheGoodbyeOfASocketThatIsClosingWhenADrainBegins) {
    bus.keeping = true;
    Client slow = open_ws();
    Client quick = open_ws();
    slow.send(client_frame(R"({"action":"unanswered"})"));
    for (int i = 0; i < 20; ++i) {
        quick.send(client_frame(R"({"action":"a","payload":{"text":")" + std::string(50'000, 'x') + R"("}})"));
        quick.now();
    }
    EXPECT_THAT(slow.now(), HasSubstr("\x03\xf5reader too slow"));

    edge().drain(std::chrono::seconds(5), [] {});
    slow.send(client_frame("\x03\xf5", 8));

    // At once, not when its time for an answer is over.
    loop.turn(std::chrono::milliseconds(10));
    EXPECT_EQ(edge().session_count(), 1U);
}

TEST_F(WsSessionTest, SaysGoingAwayOnceNothingIsOwedToTheSender) {
    Client idle = open_ws();
    Client busy = open_ws();
    bus.keeping = true;
    busy.send(client_frame(R"({"action":"a"})"));
    busy.now();
    idle.now();
    bool done = false;

    edge().drain(std::chrono::seconds(5), [&] { done = true; });

    EXPECT_EQ(idle.now(), close_frame(1001, "the server is going away"));
    EXPECT_EQ(busy.now(), "");
    bus.answer_all();
    EXPECT_EQ(busy.now(), close_frame(1001, "the server is going away"));
    EXPECT_FALSE(done);
    idle.hang_up();
    busy.hang_up();
    loop.turn(std::chrono::milliseconds(10));
    loop.turn(std::chrono::milliseconds(10));
    EXPECT_TRUE(done);
}

TEST_F(WsSessionTest, HandlesWhatItHasReadBeforeItGoesAwayAndReadsNoMore) {
    Client client = open_ws();
    bus.keeping = true;
    client.send(client_frames(200, R"({"action":"a"})"));
    client.now();

    edge().drain(std::chrono::seconds(5), [] {});
    client.send(client_frame(R"({"action":"late"})"));
    std::string text;
    for (int i = 0; i < 8; ++i) {
        EXPECT_LE(bus.kept.size(), 64U);
        EXPECT_THAT(text, Not(HasSubstr("going away")));
        bus.answer_all();
        text = client.now();
        if (bus.kept.empty()) {
            break;
        }
    }

    EXPECT_EQ(bus.published.size(), 200U);
    EXPECT_THAT(text, testing::EndsWith(close_frame(1001, "the server is going away")));
}

TEST_F(WsSessionTest, HandlesWhatFilledTheTurnBeforeItGoesAway) {
    Client client = open_ws();
    bus.outcome = board::PublishOutcome::rejected;  // At once.
    client.send(client_frames(1100, R"({"action":"a"})"));
    loop.turn(std::chrono::milliseconds(10));
    EXPECT_LT(bus.published.size(), 1100U);

    edge().drain(std::chrono::seconds(5), [] {});
    const std::string text = client.until("going away");

    EXPECT_EQ(bus.published.size(), 1100U);
    EXPECT_EQ(count_of("event_bus_failure", text), 1100U);
    EXPECT_THAT(text, testing::EndsWith(close_frame(1001, "the server is going away")));
}

TEST_F(WsSessionTest, WhatWaitsForASlowReaderComesBeforeGoingAway) {
    Client client = open_ws();
    for (int i = 0; i < 6; ++i) {
        hub.on_activities({history.add("b1", std::string(60'000, 'x'))});
    }
    loop.turn(std::chrono::milliseconds(10));

    edge().drain(std::chrono::seconds(5), [] {});
    const std::string text = client.until("going away");

    EXPECT_EQ(count_of(R"("board":"b1")", text), 6U);
    EXPECT_THAT(text, testing::EndsWith(close_frame(1001, "the server is going away")));
}

TEST_F(WsSessionTest, CompressesForThoseWhoAskedAndNotForOthers) {
    Client plain = open_ws();
    Client deflating = open_ws("/ws/boards/b1?token=secret", "Sec-WebSocket-Extensions: permessage-deflate\r\n");

    plain.send(
        client_frame(R"({"action":"a","payload":{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}})"));

    EXPECT_THAT(plain.now(), HasSubstr("aaaaaaaaaaaaaaaaaaaaaaaaa"));
    const std::string compressed = deflating.now();
    ASSERT_FALSE(compressed.empty());
    EXPECT_EQ(static_cast<unsigned char>(compressed[0]), 0xC1);
    EXPECT_THAT(compressed, Not(HasSubstr("aaaaaaaaaaaaa")));
}

}  // namespace
}  // namespace boardbus::web

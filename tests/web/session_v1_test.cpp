// The subprotocol boardbus.v1 and sockets that come back with a cursor.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "web/edge_fixture.h"
#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using Break = board::HistoryBreak::Kind;

class V1SessionTest : public EdgeTest {
  protected:
    Client open_v1(std::string_view path = "/ws/boards/b1?token=secret") {
        return open_ws(path, "Sec-WebSocket-Protocol: other, boardbus.v1\r\n");
    }

    /// On its board, greeted.
    Client open_ready(std::string_view path = "/ws/boards/b1?token=secret") {
        Client client = open_v1(path);
        client.until(R"("kind":"subscribed")");
        client.until("}");
        return client;
    }

    static void say(const Client& client, std::string_view text) { client.send(client_frame(text)); }

    board::ActivityView show(std::string_view board, std::string_view action) {
        auto event = history.add(board, action);
        hub.on_activities({event});
        return event;
    }
};

TEST_F(V1SessionTest, GreetsAndSaysWhereTheBoardStands) {
    const auto last = show("b1", "before");
    Client client = connect();
    client.send(handshake("/ws/boards/b1?token=secret", "Sec-WebSocket-Protocol: boardbus.v1\r\n"));

    EXPECT_THAT(client.until("\r\n\r\n"), HasSubstr("Sec-WebSocket-Protocol: boardbus.v1\r\n"));
    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"hello","server":"boardbus","ping_seconds":25})"));
    EXPECT_THAT(client.until("}"),
                HasSubstr(R"({"kind":"subscribed","board":"b1","epoch":"e1","seq":1,"recovered":false,"cursor":")" +
                          last.cursor + "\"}"));
}

TEST_F(V1SessionTest, AcknowledgesOnlyWhatTheBusHasTaken) {
    Client client = open_ready();
    bus.keeping = true;
    say(client, R"({"action":"a","correlation_id":"c1"})");
    EXPECT_THAT(client.now(), Not(HasSubstr("ack")));

    bus.answer_all();

    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"ack","correlation_id":"c1","event_id":")" +
                                             bus.published.front().event_id + "\"}"));
}

TEST_F(V1SessionTest, SaysWhyAMessageWasNotTaken) {
    Client client = open_ready();
    say(client, R"({"action":"","correlation_id":"c1"})");
    EXPECT_THAT(
        client.until("}]}"),
        HasSubstr(
            R"({"kind":"nack","correlation_id":"c1","outcome":"rejected","reason":"validation_error","retry_after_ms":null,"detail":[)"));
    say(client, "[1]");
    EXPECT_THAT(client.until("}"),
                HasSubstr(R"({"kind":"nack","correlation_id":null,"outcome":"rejected","reason":"invalid_json")"));
    bus.outcome = board::PublishOutcome::unknown;
    say(client, R"({"action":"a","correlation_id":"c2"})");
    EXPECT_THAT(
        client.until("}"),
        MatchesRegex(R"(.*"correlation_id":"c2","outcome":"unknown","reason":"timeout","retry_after_ms":[0-9]+,.*)"));
    bus.outcome = board::PublishOutcome::rejected;
    bus.keeping = true;
    say(client, R"({"action":"a","correlation_id":"c3"})");
    client.now();
    bus.kept.front()({board::PublishOutcome::rejected, "overloaded"});
    EXPECT_THAT(
        client.until("}"),
        MatchesRegex(
            R"(.*"correlation_id":"c3","outcome":"rejected","reason":"overloaded","retry_after_ms":[0-9]+,.*)"));
}

TEST_F(V1SessionTest, IsOnSeveralBoards) {
    Client client = open_ready();
    say(client, R"({"op":"subscribe","board":"b2"})");
    EXPECT_THAT(client.until("}"),
                HasSubstr(R"({"kind":"subscribed","board":"b2","epoch":"e1","seq":0,"recovered":false)"));
    show("b2", "two");
    EXPECT_THAT(client.until("}"), HasSubstr(R"("action":"two")"));
    say(client, R"({"op":"publish","board":"b3","message":{"action":"three","correlation_id":"c"}})");
    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"ack","correlation_id":"c")"));
    EXPECT_EQ(bus.published.back().board_id, "b3");
    say(client, R"({"op":"unsubscribe","board":"b2"})");
    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"unsubscribed","board":"b2"})"));
    show("b2", "unseen");
    say(client, R"({"action":"path"})");

    EXPECT_THAT(client.now(), AllOf(Not(HasSubstr("unseen")), HasSubstr(R"("action":"path")")));
    EXPECT_EQ(bus.published.back().board_id, "b1");
    EXPECT_EQ(hub.websockets("b2"), 0U);
}

TEST_F(V1SessionTest, RefusesCommandsThatCannotBeCarriedOut) {
    Client client = open_ready();
    const auto answer = [&](std::string_view text) {
        say(client, text);
        return client.until("}");
    };

    EXPECT_THAT(answer(R"({"op":"fly","board":"x"})"),
                HasSubstr(R"({"kind":"error","op":"fly","board":"x","reason":"unknown_op"})"));
    EXPECT_THAT(answer(R"({"op":"subscribe"})"),
                HasSubstr(R"({"kind":"error","op":"subscribe","board":null,"reason":"invalid_board"})"));
    EXPECT_THAT(answer(R"({"op":"subscribe","board":""})"), HasSubstr("invalid_board"));
    EXPECT_THAT(answer(R"({"op":"subscribe","board":"b1"})"), HasSubstr("already_subscribed"));
    EXPECT_THAT(answer(R"({"op":"unsubscribe","board":"b9"})"), HasSubstr("not_subscribed"));
    EXPECT_THAT(answer(R"({"op":"subscribe","board":"b9","since":7})"), HasSubstr("invalid_since"));
    EXPECT_THAT(answer(R"({"op":"publish","board":"b9"})"), HasSubstr(R"("kind":"nack")"));
    for (int i = 2; i <= 64; ++i) {
        EXPECT_THAT(answer(R"({"op":"subscribe","board":"x)" + std::to_string(i) + "\"}"), HasSubstr("subscribed"));
    }
    EXPECT_THAT(answer(R"({"op":"subscribe","board":"x65"})"), HasSubstr("too_many_boards"));
}

TEST_F(V1SessionTest, TheLastWordAboutABoardCountsWhileTheFirstIsBeingAsked) {
    Client client = open_ready();
    history.keeping = true;
    for (int i = 0; i < 2; ++i) {
        say(client, R"({"op":"subscribe","board":"b2"})");
        say(client, R"({"op":"unsubscribe","board":"b2"})");
    }
    EXPECT_THAT(client.now(), Not(HasSubstr("error")));

    history.keeping = false;
    history.answer_one();

    EXPECT_THAT(client.now(), Not(HasSubstr(R"("kind":"subscribed")")));
    EXPECT_EQ(hub.websockets("b2"), 0U);
    say(client, R"({"op":"unsubscribe","board":"b2"})");
    EXPECT_THAT(client.until("}"), HasSubstr("not_subscribed"));
    say(client, R"({"op":"subscribe","board":"b2"})");
    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"subscribed","board":"b2")"));
    EXPECT_EQ(hub.websockets("b2"), 1U);
}

TEST_F(V1SessionTest, ABoardThatIsNoLongerWantedTakesNoPlaceWhileItIsBeingAsked) {
    Client client = open_ready();
    for (int i = 2; i <= 63; ++i) {
        say(client, R"({"op":"subscribe","board":"x)" + std::to_string(i) + "\"}");
        client.until(R"("kind":"subscribed")");
    }
    client.now();
    history.keeping = true;
    say(client, R"({"op":"subscribe","board":"asked"})");
    say(client, R"({"op":"unsubscribe","board":"asked"})");
    say(client, R"({"op":"subscribe","board":"last"})");
    say(client, R"({"op":"subscribe","board":"one more"})");

    EXPECT_THAT(client.now(), AllOf(HasSubstr(R"({"kind":"unsubscribed","board":"asked"})"),
                                    HasSubstr(R"("board":"one more","reason":"too_many_boards")"),
                                    Not(HasSubstr(R"("board":"last")"))));
    history.keeping = false;
    history.answer_one();
    EXPECT_THAT(client.now(), HasSubstr(R"({"kind":"subscribed","board":"last")"));
}

TEST_F(V1SessionTest, NamesWhatTheRateLimitHasRefused) {
    options.message_rate_limit = RateLimit{1, std::chrono::seconds(60)};
    Client client = open_ready();
    say(client, R"({"action":"a","correlation_id":"c1"})");
    client.until(R"("kind":"ack")");
    client.now();
    const auto answer = [&](std::string_view text) {
        say(client, text);
        return client.until("}");
    };

    EXPECT_THAT(
        answer(R"({"action":"a","correlation_id":"c2"})"),
        MatchesRegex(
            R"(..\{"kind":"nack","correlation_id":"c2","outcome":"rejected","reason":"rate_limited","retry_after_ms":[0-9]+\})"));
    EXPECT_THAT(answer(R"({"op":"publish","board":"b3","message":{"action":"a","correlation_id":"c3"}})"),
                HasSubstr(R"({"kind":"nack","correlation_id":"c3","outcome":"rejected","reason":"rate_limited",)"));
    EXPECT_THAT(answer(R"({"op":"publish"})"), HasSubstr(R"({"kind":"nack","correlation_id":null,)"));
    EXPECT_THAT(answer("[1]"), HasSubstr(R"({"kind":"nack","correlation_id":null,)"));
    EXPECT_THAT(answer(R"({"action":"a","correlation_id":")" + std::string(257, 'c') + "\"}"),
                HasSubstr(R"({"kind":"nack","correlation_id":null,)"));
    EXPECT_THAT(answer(R"({"op":"subscribe","board":"b2"})"),
                HasSubstr(R"({"kind":"error","op":"subscribe","board":"b2","reason":"rate_limited"})"));
    EXPECT_THAT(answer(R"({"op":"unsubscribe"})"),
                HasSubstr(R"({"kind":"error","op":"unsubscribe","board":null,"reason":"rate_limited"})"));
    EXPECT_EQ(bus.published.size(), 1U);
}

TEST_F(V1SessionTest, GoesOnBehindACursorPerBoard) {
    const auto first = show("b1", "1");
    show("b1", "2");
    const auto other = show("b2", "3");
    show("b2", "4");
    Client client = open_v1("/ws/boards/b1?token=secret&since=" + first.cursor);
    EXPECT_THAT(client.until(R"("action":"2")"),
                HasSubstr(R"("kind":"subscribed","board":"b1","epoch":"e1","seq":2,"recovered":true)"));

    say(client, R"({"op":"subscribe","board":"b2","since":")" + other.cursor + "\"}");

    EXPECT_THAT(client.until(R"("action":"4")"),
                AllOf(HasSubstr(R"("recovered":true)"), Not(HasSubstr(R"("action":"3")"))));
}

TEST_F(V1SessionTest, APlainSocketGoesOnBehindACursorAndHearsNoWordOfTheProtocol) {
    const auto first = show("b1", "1");
    show("b1", "2");
    Client client = open_ws("/ws/boards/b1?token=secret&since=" + first.cursor);
    const std::string text = client.now();
    show("b1", "3");

    EXPECT_THAT(text, AllOf(HasSubstr(R"("action":"2")"), Not(HasSubstr("subscribed")), Not(HasSubstr("hello"))));
    EXPECT_THAT(client.now(), HasSubstr(R"("action":"3")"));
    say(client, R"({"op":"subscribe","board":"b2","action":"plain"})");
    EXPECT_THAT(client.now(), HasSubstr(R"("action":"plain")"));
    EXPECT_EQ(bus.published.back().board_id, "b1");
}

TEST_F(V1SessionTest, ABreakIsToldToThoseWhoAskedAndClosesThoseWhoDidNot) {
    show("b1", "0");
    Client v1 = open_ready();
    Client since = open_ws("/ws/boards/b1?token=secret&since=" + history.all.back().cursor);
    Client plain = open_ws();
    loop.turn(std::chrono::milliseconds(0));
    history.begin("e2");
    since.now();

    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 0});

    EXPECT_THAT(v1.until("}"), HasSubstr(R"({"kind":"resync","board":"b1","epoch":"e2","seq":0})"));
    EXPECT_THAT(since.until("}"), HasSubstr(R"({"kind":"resync","board":"b1","epoch":"e2","seq":0})"));
    EXPECT_THAT(plain.now(), HasSubstr("\x03\xF4"));  // 1012
    EXPECT_EQ(hub.websockets("b1"), 2U);
}

// These wait for real time: they run after the others.
using TimedV1SessionTest = V1SessionTest;

TEST_F(TimedV1SessionTest, HearsOfAnInterruptionThatLasts) {
    Client client = open_ready();
    Client plain = open_ws();
    hub.on_live(false);
    hub.on_live(true);
    EXPECT_EQ(client.now(), "");

    hub.on_live(false);
    std::string text;
    for (int i = 0; i < 40 && text.empty(); ++i) {
        loop.turn(std::chrono::milliseconds(100));
        text = client.now();
    }
    EXPECT_THAT(text, HasSubstr(R"({"kind":"status","live":false})"));
    Client late = open_v1();
    EXPECT_THAT(late.until(R"("live":false)"), HasSubstr("hello"));
    hub.on_live(true);

    EXPECT_THAT(client.until("}"), HasSubstr(R"({"kind":"status","live":true})"));
    EXPECT_EQ(plain.now(), "");
}

TEST_F(V1SessionTest, HearsWhenToComeBackBeforeADrain) {
    Client client = open_ready();
    edge().drain(std::chrono::seconds(5), [] {});

    EXPECT_THAT(client.until("}"), MatchesRegex(R"(.*\{"kind":"going_away","reconnect_in_ms":[0-9]+\})"));
    EXPECT_THAT(client.now(), HasSubstr("\x03\xE9"));  // 1001
}

TEST_F(V1SessionTest, AcknowledgesWhatItHasReadBeforeItGoesAway) {
    Client client = open_ready();
    bus.keeping = true;
    client.send(client_frames(100, R"({"action":"a"})"));
    client.now();

    edge().drain(std::chrono::seconds(5), [] {});
    std::string text;
    for (int i = 0; i < 4; ++i) {
        bus.answer_all();
        text += client.now();
    }

    EXPECT_EQ(count_of(R"({"kind":"ack",)", text), 100U);
    EXPECT_THAT(text.substr(text.rfind(R"({"kind":)")), AllOf(HasSubstr("going_away"), HasSubstr("\x03\xE9")));  // 1001
}

TEST_F(TimedV1SessionTest, RefusesWhatItHasReadWhenABusThatIsLateKeepsItFromGoingAway) {
    Client client = open_ready();
    bus.keeping = true;
    client.send(client_frames(100, R"({"action":"a","correlation_id":"c"})"));
    client.now();
    edge().drain(std::chrono::seconds(5), [] {});
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1'050);
    while (std::chrono::steady_clock::now() < end) {
        loop.turn(std::chrono::milliseconds(10));
    }
    client.now();

    bus.outcome = board::PublishOutcome::unknown;
    bus.answer_all();
    const std::string text = client.now();

    EXPECT_EQ(bus.published.size(), 64U);
    EXPECT_EQ(count_of(R"("outcome":"unknown","reason":"timeout")", text), 64U);
    EXPECT_EQ(count_of(R"({"kind":"nack","correlation_id":"c","outcome":"rejected","reason":"unavailable")", text),
              36U);
    EXPECT_THAT(text, HasSubstr("\x03\xE9"));  // 1001
}

TEST_F(V1SessionTest, AReplayLargerThanTheBacklogIsFedAsTheSocketDrains) {
    const auto first = show("b1", "0");
    const std::string large(100'000, 'x');  // The backlog of a reader is 256 KiB here.
    for (int i = 0; i < 60; ++i) {
        show("b1", large);
    }
    Client client = open_ws("/ws/boards/b1?token=secret&since=" + first.cursor);
    std::size_t size = client.now().size();
    show("b1", "live");

    std::string text;
    for (int i = 0; i < 500 && text.find(R"("action":"live")") == std::string::npos; ++i) {
        text = client.now();
        size += text.size();
    }

    EXPECT_GT(size, 6'000'000U);
    EXPECT_THAT(text, HasSubstr(R"("action":"live")"));
}

TEST_F(V1SessionTest, QuestionsOfSocketsThatHaveGoneAreBounded) {
    history.keeping = true;
    for (int i = 0; i < 1024; ++i) {
        open_v1();
    }

    for (int i = 0; i < 4; ++i) {  // Two of them for each socket that is there.
        open_v1();
    }
    Client late = open_v1();
    EXPECT_THAT(late.now(), HasSubstr("\x03\xf5"));  // 1013

    history.keeping = false;
    history.answer_one();
    open_ready();
}

TEST_F(V1SessionTest, ASocketThatGoesWhileItIsAskedForIsNotCounted) {
    show("b1", "0");
    const std::string cursor = board::encode_cursor({{"e0", 1, 1}, 1});
    history.keeping = true;
    Client client = open_ws("/ws/boards/b1?token=secret&since=" + cursor);
    client.now();
    client.hang_up();
    loop.turn(std::chrono::milliseconds(10));
    history.answer_one();
    loop.turn(std::chrono::milliseconds(10));
    loop.turn(std::chrono::milliseconds(10));

    EXPECT_EQ(hub.websockets("b1"), 0U);
    EXPECT_EQ(edge().session_count(), 0U);
}

}  // namespace
}  // namespace boardbus::web

// SPDX-License-Identifier: Apache-2.0
#include "hub/hub.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <memory>
#include <thread>

#include "board/activity.h"
#include "hub/reader_pair.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string activity(std::string_view board, std::string_view text, int count = 0) {
    return R"({"id":"i","board":")" + std::string(board) + R"(","action":")" + std::string(text) +
           R"(","active_connections":)" + std::to_string(count) + "}";
}

class HubTest : public testing::Test {
  protected:
    HubTest() { hub.add_shard(shard); }

    std::unique_ptr<TestReader> reader(std::string_view board, Form form = Form::ws) {
        auto made = std::make_unique<TestReader>(loop, shard, form);
        shard.join(*made, board);
        return made;
    }

    void show(const std::string& text) { show_all({text}); }
    void show_all(const std::vector<std::string>& texts) {
        std::vector<board::ActivityView> activities;
        for (const std::string& text : texts) {
            activities.push_back(*board::parse_activity(text));
        }
        hub.on_activities(std::move(activities));
    }
    void turn() { loop.turn(std::chrono::milliseconds(0)); }

    // Readable bytes instead of frames: what is tested here is who gets what, and when.
    static WsEncoder encoder() {
        return {.text = [](std::string_view text, std::string& out) { out.append("T").append(text); },
                .deflated = [](std::string_view text, std::string& out) { out.append("Z").append(text); }};
    }

    Loop loop;
    telemetry::Metrics metrics;
    Hub hub{loop, encoder(), metrics};
    SlowBudget budget{100'000, 1'000'000};
    telemetry::LoopCounters counters;
    Shard shard{loop, hub, budget, counters};
};

TEST_F(HubTest, WritesTheEventsOfATurnAtItsEndInOneRun) {
    const auto one = reader("b");
    const auto other = reader("c");

    show(activity("b", "x"));
    show(activity("b", "y"));
    EXPECT_EQ(one->read(), "");
    turn();

    EXPECT_EQ(one->read(), "T" + activity("b", "x", 1) + "T" + activity("b", "y", 1));
    EXPECT_EQ(other->read(), "");
    EXPECT_EQ(counters.websocket.deliveries.get(), 2U);
}

TEST_F(HubTest, CountsSocketsOfTheBoardOnlyAndIntoTheEvent) {
    const auto plain = reader("b");
    const auto deflating = reader("b", Form::ws_deflate);
    const auto stream = reader("b", Form::sse_plain);
    const auto elsewhere = reader("c");

    show(activity("b", "x"));
    turn();

    EXPECT_EQ(plain->read(), "T" + activity("b", "x", 2));
    EXPECT_EQ(deflating->read(), "Z" + activity("b", "x", 2));
    EXPECT_EQ(stream->read(), "id: i\nevent: x\ndata: " + activity("b", "x", 2) + "\n\n");
}

TEST_F(HubTest, ShowsAStreamOfAllBoardsEverythingOnce) {
    const auto all = reader("", Form::sse_plain);

    show(activity("b", "x"));
    show(activity("c", "y"));
    turn();

    EXPECT_EQ(all->read(), "id: i\nevent: x\ndata: " + activity("b", "x") +
                               "\n\nid: i\nevent: y\ndata: " + activity("c", "y") + "\n\n");
}

TEST_F(HubTest, ShowsAnEventWithoutABoardsNameOnce) {
    const auto all = reader("", Form::sse_plain);

    show(activity("", "x"));
    turn();

    EXPECT_EQ(all->read(), "id: i\nevent: x\ndata: " + activity("", "x") + "\n\n");
}

TEST_F(HubTest, NoClientTextStartsALineOrAnEventOfItsOwn) {
    std::string out;
    const SseSlices slices = append_sse(out, "1\n2", std::string_view("a\r\nb\0c", 6), "{}");

    EXPECT_EQ(out.substr(slices.plain.at, slices.plain.size), "id: 1 2\nevent: a  b c\ndata: {}\n\n");
    EXPECT_EQ(out, "00000020\r\nid: 1 2\nevent: a  b c\ndata: {}\n\n\r\n");
}

TEST_F(HubTest, KeepsTheOthersInPlaceWhenAReaderLeaves) {
    std::vector<std::unique_ptr<TestReader>> readers;
    for (int i = 0; i < 10; ++i) {
        readers.push_back(reader("b"));
    }
    readers.erase(readers.begin());
    readers.erase(readers.begin() + 4);
    readers.pop_back();

    show(activity("b", "x"));
    turn();

    for (const auto& one : readers) {
        EXPECT_EQ(one->read(), "T" + activity("b", "x", 7));
    }
    readers.clear();
    EXPECT_EQ(hub.websockets("b"), 0U);
}

TEST_F(HubTest, AReaderOfSeveralBoardsLeavesThemAll) {
    auto several = reader("b", Form::sse_plain);
    shard.join(*several, "c");
    const auto one = reader("c", Form::sse_plain);

    show(activity("b", "x"));
    show(activity("c", "y"));
    turn();
    EXPECT_THAT(several->read(), testing::AllOf(HasSubstr("event: x"), HasSubstr("event: y")));
    several.reset();
    show(activity("c", "z"));
    turn();

    EXPECT_THAT(one->read(), HasSubstr("event: z"));
}

/// Its cursor is that of the last event: an older one behind it would be lost, or come twice, when it comes back.
TEST_F(HubTest, AStreamOfSeveralBoardsGetsTheEventsOfATurnInTheirOrder) {
    for (const Form form : {Form::sse_chunked, Form::sse_plain}) {
        auto several = reader("c", form);
        shard.join(*several, "b");
        shard.join(*several, "d");
        const auto one = reader("b", form);

        show_all({activity("b", "<1>"), activity("c", "<2>"), activity("b", "<3>"), activity("d", "<4>"),
                  activity("c", "<5>")});
        turn();

        const auto order_in = [](const std::string& text) {
            std::string order;
            for (std::size_t at = text.find("data: "); at != text.npos; at = text.find("data: ", at + 1)) {
                order += text[text.find('<', at) + 1];
            }
            return order;
        };
        EXPECT_EQ(order_in(several->read()), "12345");
        EXPECT_EQ(order_in(one->read()), "13");

        several.reset();
        show_all({activity("b", "<1>"), activity("d", "<2>"), activity("b", "<3>")});
        turn();

        EXPECT_EQ(order_in(one->read()), "13");
    }
}

TEST_F(HubTest, AReaderLeavesOneOfItsBoardsWhicheverItIs) {
    for (const std::string gone : {"b", "c", "d"}) {
        const auto several = reader("b");
        shard.join(*several, "c");
        shard.join(*several, "d");
        const auto neighbour = reader(gone);

        EXPECT_TRUE(shard.leave(*several, gone));
        EXPECT_FALSE(shard.leave(*several, gone));
        for (const std::string board : {"b", "c", "d"}) {
            show(activity(board, board));
        }
        turn();

        const std::string text = several->read();
        for (const std::string board : {"b", "c", "d"}) {
            EXPECT_EQ(text.find("\"action\":\"" + board) == std::string::npos, board == gone) << gone << ' ' << board;
        }
        EXPECT_THAT(neighbour->read(), HasSubstr(gone));
    }
    EXPECT_EQ(hub.websockets("b") + hub.websockets("c") + hub.websockets("d"), 0U);
}

TEST_F(HubTest, AReaderThatLeavesWithEventsPendingTakesItsEmptyBoardAlong) {
    auto one = reader("b");
    show(activity("b", "x"));

    one.reset();
    turn();

    EXPECT_EQ(counters.websocket.deliveries.get(), 0U);
}

TEST_F(HubTest, ALostReaderHearsOfItAfterTheWalkAndTheOthersAreServed) {
    const auto before = reader("b");
    const auto lost = reader("b");
    const auto after = reader("b");
    lost->pair().theirs.reset();

    show(activity("b", "x"));
    turn();

    EXPECT_THAT(lost->troubles, ElementsAre(Trouble::lost));
    EXPECT_EQ(before->read(), "T" + activity("b", "x", 3));
    EXPECT_EQ(after->read(), "T" + activity("b", "x", 3));
}

/// Destroys other readers when it hears of trouble.
class Avenger final : public Reader {
  public:
    Avenger(Shard& shard, SocketPair pair, std::vector<std::unique_ptr<TestReader>>& victims)
        : Reader(shard, std::move(pair.ours), Form::ws), victims_(victims) {}
    void on_ready(std::uint32_t) override {}
    void on_trouble(Trouble) override { victims_.clear(); }
    void on_notice(std::string_view, const EncodedNotice&) override {}

  private:
    std::vector<std::unique_ptr<TestReader>>& victims_;
};

TEST_F(HubTest, AReaderInTroubleMayTakeOthersInTroubleAlong) {
    std::vector<std::unique_ptr<TestReader>> victims;
    for (int i = 0; i < 3; ++i) {
        victims.push_back(reader("b"));
        victims.back()->pair().theirs.reset();
    }
    Avenger avenger(shard, SocketPair(), victims);
    shard.join(avenger, "b");

    show(activity("b", "x"));
    turn();

    EXPECT_TRUE(victims.empty());
    EXPECT_EQ(hub.websockets("b"), 1U);
}

TEST_F(HubTest, ASlowReaderGetsEverythingInOrderOnceItReads) {
    const auto slow = reader("b");
    const int size = 4'096;
    ::setsockopt(slow->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    std::string expected;
    for (int i = 0; i < 40; ++i) {
        const std::string text = std::to_string(i) + std::string(1'000, 'x');
        expected += "T" + activity("b", text, 1);
        show(activity("b", text));
        turn();
    }
    ASSERT_GT(slow->backlog(), 0U);
    shard.send(*slow, "own");
    EXPECT_EQ(counters.websocket.backlog_bytes.get(), slow->backlog());

    std::string got;
    for (int i = 0; i < 200 && slow->backlog() > 0; ++i) {
        got += slow->read();
        turn();
    }
    got += slow->read();

    EXPECT_EQ(got, expected + "own");
    EXPECT_TRUE(slow->troubles.empty());
    EXPECT_EQ(counters.websocket.backlog_bytes.get(), 0U);
    EXPECT_EQ(counters.websocket.bytes_sent.get(), got.size());
}

TEST_F(HubTest, AReaderThatNeverReadsIsTooSlowOnceAndItsLastWordIsReadable) {
    const auto slow = reader("b");
    const auto quick = reader("b");
    const int size = 4'096;
    ::setsockopt(slow->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    for (int i = 0; i < 200; ++i) {
        show(activity("b", std::string(1'000, 'x')));
        turn();
        ASSERT_FALSE(quick->read().empty());
    }
    EXPECT_THAT(slow->troubles, testing::Each(Trouble::too_slow));
    ASSERT_FALSE(slow->troubles.empty());
    EXPECT_LE(slow->backlog(), 100'000U);

    shard.send_last(*slow, "END");
    EXPECT_EQ(hub.websockets("b"), 1U);
    std::string got;
    for (int i = 0; i < 200 && slow->backlog() > 0; ++i) {
        got += slow->read();
        turn();
    }
    got += slow->read();

    // Whole frames, then the last word.
    const std::string event = activity("b", std::string(1'000, 'x'), 2);
    EXPECT_TRUE(got.ends_with("}END"));
    EXPECT_EQ((got.size() - 3) % (event.size() + 1), 0U);
    EXPECT_EQ(budget.used(), 0U);
}

TEST_F(HubTest, AReaderThatHasMissedAnEventGetsNoLaterOneWhenItReadsAgain) {
    const auto slow = reader("b");
    const int size = 4'096;
    ::setsockopt(slow->fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    while (slow->backlog() < 90'000) {
        show(activity("b", std::string(1'000, 'x')));
        turn();
    }
    std::vector<std::string> texts(64, activity("b", "missed " + std::string(1'000, 'x')));

    // In one turn: a run is too much, the client reads all that waits, another event comes.
    show_all(texts);
    std::string got;
    while (slow->backlog() > 0) {
        got += slow->read();
        shard.on_writable(*slow);
    }
    show(activity("b", "late"));
    turn();

    got += slow->read();
    EXPECT_THAT(slow->troubles, ElementsAre(Trouble::too_slow));
    EXPECT_EQ(got.find("missed"), std::string::npos);
    EXPECT_EQ(got.find("late"), std::string::npos);
}

TEST_F(HubTest, ARunIsWrittenEarlyWhenItHasManyFrames) {
    const auto one = reader("b");
    std::vector<std::string> texts(65, activity("b", "x"));

    show_all(texts);

    const std::string event = "T" + activity("b", "x", 1);
    EXPECT_EQ(one->read().size(), 64 * event.size());
    turn();
    EXPECT_EQ(one->read().size(), event.size());
}

TEST_F(HubTest, KnowsAReaderOfAnotherLoopBeforeItsNextTurn) {
    Loop other_loop;
    telemetry::LoopCounters other_counters;
    Shard other(other_loop, hub, budget, other_counters);
    hub.add_shard(other);
    const auto here = reader("b");
    std::unique_ptr<TestReader> there;
    std::thread([&] {
        there = std::make_unique<TestReader>(other_loop, other, Form::ws);
        other.join(*there, "b");
    }).join();

    // The turn that brings the event would run the posted tasks only after it.
    show(activity("b", "x"));
    turn();
    other_loop.turn(std::chrono::milliseconds(0));

    EXPECT_EQ(here->read(), "T" + activity("b", "x", 2));
    EXPECT_EQ(there->read(), "T" + activity("b", "x", 2));
}

TEST_F(HubTest, ServesTheReadersOfAnotherLoop) {
    Loop other_loop;
    telemetry::LoopCounters other_counters;
    Shard other(other_loop, hub, budget, other_counters);
    hub.add_shard(other);
    const auto here = reader("b");
    SocketPair pair;
    const int theirs = pair.theirs.get();
    std::jthread thread([&] { other_loop.run(); });
    std::unique_ptr<TestReader> there;
    other_loop.post([&] {
        there = std::make_unique<TestReader>(other_loop, other, Form::ws, std::move(pair));
        other.join(*there, "b");
    });
    while (hub.websockets("b") < 2) {
        loop.turn(std::chrono::milliseconds(10));
    }

    show(activity("b", "x"));
    turn();

    const std::string event = "T" + activity("b", "x", 2);
    EXPECT_EQ(here->read(), event);
    std::string got(event.size(), ' ');
    pollfd ready{.fd = theirs, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 2'000), 1);
    EXPECT_EQ(::recv(theirs, got.data(), got.size(), 0), static_cast<ssize_t>(event.size()));
    EXPECT_EQ(got, event);
    other_loop.post([&] { there.reset(); });
    other_loop.stop();
    thread.join();
    turn();
    EXPECT_EQ(hub.websockets("b"), 1U);
}

}  // namespace
}  // namespace boardbus::hub

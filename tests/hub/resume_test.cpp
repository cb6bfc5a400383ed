// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <memory>
#include <random>

#include "hub/fake_history.h"
#include "hub/follower.h"
#include "hub/hub.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Break = board::HistoryBreak::Kind;
using Kind = ResumePoint::Kind;

class ResumeTest : public testing::Test {
  protected:
    ResumeTest() {
        hub.add_shard(shard);
        hub.set_history(history);
        hub.on_begin("e1", 0);
        hub.on_live(true);
    }

    /// An event that the process sees.
    board::ActivityView show(std::string_view board, std::string_view action) {
        auto event = history.add(board, action);
        hub.on_activities({event});
        return event;
    }

    /// Events that happened before the process began; its place is behind them.
    std::vector<board::ActivityView> past(std::string_view board, int count) {
        std::vector<board::ActivityView> events;
        for (int i = 1; i <= count; ++i) {
            events.push_back(history.add(board, std::string(board) + std::to_string(i)));
        }
        hub.on_begin("e1", history.pos);
        return events;
    }

    std::unique_ptr<Follower> follow(std::vector<std::string> boards, std::string_view cursor = "",
                                     std::size_t slice_bytes = 1 << 18) {
        ResumePoint point;
        if (!cursor.empty()) {
            const auto read = board::parse_cursor(cursor);
            point.kind = read ? Kind::cursor : Kind::unreadable;
            point.after = read.value_or(board::Cursor{});
        }
        // Streams of all boards are server-sent events.
        const Form form = boards.empty() ? Form::sse_plain : Form::ws;
        return std::make_unique<Follower>(loop, shard, hub, std::move(boards), point, slice_bytes, form);
    }

    void turns(int count = 10) {
        for (int i = 0; i < count; ++i) {
            loop.turn(std::chrono::milliseconds(0));
        }
    }

    Loop loop;
    telemetry::Metrics metrics;
    FakeHistory history;
    Hub hub{loop, line_encoder(), metrics, {.events = 8, .bytes = 1 << 20}};
    SlowBudget budget{100'000, 1'000'000};
    telemetry::LoopCounters counters;
    Shard shard{loop, hub, budget, counters};
};

TEST_F(ResumeTest, GoesOnBehindItsCursorFromTheRing) {
    const auto first = show("b", "1");
    show("c", "other");
    show("b", "2");
    const auto reader = follow({"b"}, first.cursor);
    show("b", "3");
    turns();
    show("b", "4");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("2", "3", "4"));
    EXPECT_TRUE(reader->answers.back().recovered);
    EXPECT_EQ(history.reads, 0U);
    EXPECT_NE(metrics.expose().find(R"(advanced_resumes_total{result="ring"} 1)"), std::string::npos);
}

TEST_F(ResumeTest, GoesOnFromTheHistoryWhenTheRingDoesNotReachBack) {
    const auto events = past("b", 5);
    const auto reader = follow({"b"}, events[1].cursor);
    show("b", "new");
    turns();
    show("b", "newer");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b3", "b4", "b5", "new", "newer"));
    EXPECT_NE(metrics.expose().find(R"(advanced_resumes_total{result="history"} 1)"), std::string::npos);
}

TEST_F(ResumeTest, ShowsEachEventOnceWhileTheHistoryIsBeingRead) {
    const auto events = past("b", 3);
    history.keeping = true;
    const auto reader = follow({"b"}, events[0].cursor);
    turns();
    show("b", "during");
    history.answer_one();
    show("b", "before the answer is worked on");
    turns();
    show("b", "live");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b2", "b3", "during", "before the answer is worked on", "live"));
}

TEST_F(ResumeTest, LeavesOutOfTheHistoryWhatIsStillOnItsWayToTheProcess) {
    const auto events = past("b", 2);
    const auto on_its_way = history.add("b", "on its way");
    const auto reader = follow({"b"}, events[0].cursor);
    turns();
    EXPECT_THAT(reader->heard(), ElementsAre("b2"));

    hub.on_activities({on_its_way});
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b2", "on its way"));
}

TEST_F(ResumeTest, ReadsShortPagesToTheEnd) {
    const auto events = past("b", 30);
    history.page_most = 1;
    const auto reader = follow({"b"}, events[3].cursor, 100);
    turns(200);

    EXPECT_EQ(reader->heard().size(), 26U);
    EXPECT_TRUE(reader->joined);
    EXPECT_GT(reader->answers.size(), 5U);
}

TEST_F(ResumeTest, SaysWhatIsGoneAndShowsTheRest) {
    history.board_most = 3;
    const auto events = past("b", 10);
    const auto reader = follow({"b"}, events[1].cursor);
    turns();
    show("b", "live");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("gap 3-7", "b8", "b9", "b10", "live"));
    EXPECT_FALSE(reader->answers.back().recovered);
    EXPECT_NE(metrics.expose().find(R"(advanced_resumes_total{result="gap"} 1)"), std::string::npos);
}

TEST_F(ResumeTest, NothingIsMissingWhenOnlyTheCursorsOwnEventIsGone) {
    history.board_most = 3;
    const auto events = past("b", 5);
    const auto reader = follow({"b"}, events[1].cursor);
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b3", "b4", "b5"));
    EXPECT_TRUE(reader->answers.back().recovered);
}

TEST_F(ResumeTest, AGapIsSaidWhenNothingIsKept) {
    const auto events = past("b", 5);
    history.boards["b"].clear();
    const auto reader = follow({"b"}, events[1].cursor);
    turns();
    show("b", "live");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("gap 3-5", "live"));
}

TEST_F(ResumeTest, ResyncsAnotherEpochARolledBackHistoryAndAnUnreadableCursor) {
    const auto events = past("b", 3);
    const std::string other_epoch = "e0" + events[0].cursor.substr(2);
    const std::string other_event =
        board::encode_cursor({*events[1].position, board::event_hash("somebody else's") | 1U});
    const std::string too_far = board::encode_cursor({{"e1", 9, 9}, 77});
    for (const std::string& cursor : {other_epoch, other_event, too_far, std::string("8a0c-uuid")}) {
        const auto reader = follow({"b"}, cursor);
        turns();
        show("b", "live");
        turns();
        EXPECT_THAT(reader->heard(), ElementsAre("resync e1 " + std::to_string(history.last_of("b") - 1), "live"))
            << cursor;
        EXPECT_FALSE(reader->answers.back().recovered);
    }
}

TEST_F(ResumeTest, ResyncsARolledBackHistoryInTheRing) {
    show("b", "1");
    const std::string other = board::encode_cursor({{"e1", 1, 1}, board::event_hash("another") | 1U});
    const auto reader = follow({"b"}, other);
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("resync e1 1"));
}

TEST_F(ResumeTest, WaitsForAnEventThatAnotherProcessHasShownFirst) {
    past("b", 2);
    const auto ahead = history.add("b", "seen elsewhere");
    const auto reader = follow({"b"}, ahead.cursor);
    turns();
    EXPECT_FALSE(reader->joined);

    hub.on_activities({ahead});
    turns();
    show("b", "next");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("next"));
}

TEST_F(ResumeTest, AStreamOfAllBoardsGoesOnByPosition) {
    const auto first = show("b", "1");
    show("c", "2");
    show("b", "3");
    const auto all = follow({}, first.cursor);
    const auto some = follow({"b", "d"}, first.cursor);
    turns();
    show("d", "4");
    show("c", "5");
    turns();

    EXPECT_THAT(all->heard(), ElementsAre("2", "3", "4", "5"));
    EXPECT_THAT(some->heard(), ElementsAre("3", "4"));
}

TEST_F(ResumeTest, AStreamOfAllBoardsReadsTheHistoryAndSaysItsGap) {
    const auto events = past("b", 10);
    const auto whole = follow({}, events[6].cursor, 50);
    history.all_most = 2;
    history.all.erase(history.all.begin(), history.all.begin() + 8);
    const auto late = follow({}, events[3].cursor);
    turns(50);
    show("c", "live");
    turns();

    EXPECT_THAT(late->heard(), ElementsAre("gap 5-8", "b9", "b10", "live"));
    EXPECT_THAT(whole->heard(), ElementsAre("gap 8-8", "b9", "b10", "live"));
}

TEST_F(ResumeTest, WithoutACursorItLearnsWhereItBegins) {
    const auto events = past("b", 3);
    const auto reader = follow({"b"});
    show("b", "caused by the reader");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("caused by the reader"));
    EXPECT_EQ(reader->answers.back().seq, 3U);
    EXPECT_TRUE(reader->answers.back().cursor.starts_with("e1.3.3."));
    EXPECT_FALSE(reader->answers.back().recovered);
}

TEST_F(ResumeTest, ANewBoardBeginsAtZeroAndItsCursorWorks) {
    show("a", "1");
    const auto reader = follow({"b"});
    turns();
    ASSERT_EQ(reader->answers.back().seq, 0U);
    show("b", "first");
    for (int i = 0; i < 20; ++i) {
        show("c", "pushes it out of the ring");
    }

    const auto again = follow({"b"}, reader->answers.back().cursor);
    turns();

    EXPECT_THAT(again->heard(), ElementsAre("first"));
}

TEST_F(ResumeTest, AReaderThatGoesWhileItIsAskedForIsNotCounted) {
    const auto events = past("b", 3);
    history.keeping = true;
    auto reader = follow({"b"}, events[0].cursor);
    turns();
    reader.reset();
    history.answer_one();
    turns();

    EXPECT_EQ(hub.websockets("b"), 0U);
}

TEST_F(ResumeTest, ReadersWithTheSameCursorShareOneRead) {
    const auto events = past("b", 3);
    history.keeping = true;
    const auto reads = history.reads;
    std::vector<std::unique_ptr<Follower>> readers;
    for (int i = 0; i < 50; ++i) {
        readers.push_back(follow({"b"}, events[0].cursor));
    }
    turns();
    history.answer_one();
    turns();

    EXPECT_EQ(history.reads, reads + 1);
    for (const auto& reader : readers) {
        EXPECT_THAT(reader->heard(), ElementsAre("b2", "b3"));
    }
}

TEST_F(ResumeTest, NeverHasMoreThanSixteenPagesOnTheirWay) {
    const auto events = past("b", 40);
    history.keeping = true;
    std::vector<std::unique_ptr<Follower>> readers;
    for (const auto& event : events) {
        readers.push_back(follow({"b"}, event.cursor));
    }
    turns();
    EXPECT_EQ(history.kept.size(), 16U);
    for (int i = 0; i < 60; ++i) {
        history.answer_one();
        turns(2);
    }

    for (std::size_t i = 0; i < readers.size(); ++i) {
        EXPECT_EQ(readers[i]->heard().size(), readers.size() - 1 - i);
    }
}

TEST_F(ResumeTest, AReplacedHistoryIsToldToEveryReader) {
    const auto board = follow({"b"});
    const auto all = follow({});
    turns();
    show("b", "1");
    turns();
    history.begin("e2");

    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 0});
    show("b", "anew");
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("1", "resync e2 0", "anew"));
    EXPECT_THAT(all->heard(), ElementsAre("1", "resync e2 0", "anew"));
}

TEST_F(ResumeTest, AReplacedHistoryWithAPastIsAskedForTheLastSequence) {
    const auto board = follow({"b"});
    turns();
    history.begin("e2");
    for (int i = 0; i < 4; ++i) {
        history.add("b", "unseen");
    }
    history.keeping = true;

    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 4});
    show("b", "waits");
    turns();
    EXPECT_THAT(board->heard(), IsEmpty());
    history.answer_one();
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("resync e2 4", "waits"));
}

TEST_F(ResumeTest, ATrimmedLogIsMendedFromTheBoardsHistory) {
    const auto board = follow({"b"});
    const auto all = follow({});
    turns();
    show("b", "1");
    for (int i = 2; i <= 5; ++i) {
        history.add("b", std::to_string(i));
    }

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    show("b", "6");
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("1", "2", "3", "4", "5", "6"));
    EXPECT_THAT(all->heard(), ElementsAre("1", "gap 2-5", "6"));
}

TEST_F(ResumeTest, WhatABoardsHistoryHasLostIsAGap) {
    const auto board = follow({"b"});
    turns();
    show("b", "1");
    history.board_most = 2;
    for (int i = 2; i <= 5; ++i) {
        history.add("b", std::to_string(i));
    }

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    show("b", "6");
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("1", "gap 2-3", "4", "5", "6"));
}

TEST_F(ResumeTest, AHistoryThatDoesNotAnswerCutsTheReadersAtTheDeadline) {
    const auto board = follow({"b"});
    turns();
    show("b", "1");
    history.add("b", "2");
    history.keeping = true;

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    for (int i = 0; i < 16'385; ++i) {
        hub.on_activities({history.add("c", "x")});  // More than may wait.
    }
    turns();

    EXPECT_TRUE(board->cut);
    EXPECT_TRUE(hub.is_settled());
}

TEST_F(ResumeTest, AResumeDuringAChangeOfEpochEndsInAResync) {
    const auto events = past("b", 3);
    history.keeping = true;
    const auto reader = follow({"b"}, events[0].cursor);
    turns();
    history.begin("e2");
    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 0});
    history.keeping = false;
    history.answer_one();
    turns();
    show("b", "anew");
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("resync e2 0", "anew"));
}

}  // namespace
}  // namespace boardbus::hub

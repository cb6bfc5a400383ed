// Readers that come back with a cursor.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "hub/resume_fixture.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

TEST_F(ResumeTest, ABoardThatBeganWasForgottenAndBeganAgainIsNotNew) {
    show("a", "1");
    const auto reader = follow({"b"});
    turns();
    show("b", "nobody will know");
    history.evict("b");
    show("c", "between");
    const auto back = show("b", "back");
    for (int i = 0; i < 20; ++i) {
        show("c", "pushes it out of the ring");
    }

    const auto again = follow({"b"}, reader->answers.back().cursor);
    turns();

    EXPECT_THAT(again->heard(), ElementsAre("gap 1-" + std::to_string(back.position->seq - 1), "back"));
    EXPECT_FALSE(again->answers.back().recovered);
}

TEST_F(ResumeTest, ABoardThatBeganAndIsForgottenIsNotEmpty) {
    show("a", "1");
    const auto reader = follow({"b"});
    turns();
    show("b", "nobody will know");
    history.evict("b");
    for (int i = 0; i < 20; ++i) {
        show("c", "pushes it out of the ring");
    }

    const auto again = follow({"b"}, reader->answers.back().cursor);
    turns();

    EXPECT_THAT(again->heard(), ElementsAre("resync e1 0"));
    EXPECT_FALSE(again->answers.back().recovered);
}

TEST_F(ResumeTest, NewBoardsThatComeBackTogetherDoNotWaitForEachOther) {
    constexpr int kBoards = 40;  // More than there are places for pages.
    std::vector<std::string> cursors;
    for (int i = 0; i < kBoards; ++i) {
        const auto reader = follow({"b" + std::to_string(i)});
        turns();
        cursors.push_back(reader->answers.back().cursor);
    }
    show("c", "comes between a cursor and the first event of its board");
    for (int i = 0; i < kBoards; ++i) {
        show("b" + std::to_string(i), "first");
    }

    std::vector<std::unique_ptr<Follower>> back;
    for (int i = 0; i < kBoards; ++i) {
        back.push_back(follow({"b" + std::to_string(i)}, cursors[static_cast<std::size_t>(i)]));
    }
    turns(100);

    for (const auto& reader : back) {
        EXPECT_THAT(reader->heard(), ElementsAre("first"));
    }
    EXPECT_EQ(hub.reads().pages(), 0U);
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

TEST_F(ResumeTest, WhileTheBusIsAwayAnErrorIsNotMetAgainAndAgain) {
    const auto events = past("b", 3);
    hub.on_live(false);
    history.failing = true;
    const auto reader = follow({"b"}, events[0].cursor);
    for (int i = 0; i < 20; ++i) {
        loop.turn(std::chrono::milliseconds(20));
    }
    EXPECT_EQ(history.reads, 1U);

    history.failing = false;
    hub.on_live(true);
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b2", "b3"));
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

TEST_F(ResumeTest, ACursorFromBeforeABoardsFirstEventNoticesAHistoryThatWasRolledBack) {
    show("a", "1");
    const auto reader = follow({"b"});
    turns();
    history.begin("e1");
    hub.on_begin("e1", 0);
    show("c", "another at its place");

    const auto again = follow({"b"}, reader->answers.back().cursor);
    turns();

    EXPECT_THAT(again->heard(), ElementsAre("resync e1 0"));
}

TEST_F(ResumeTest, ACursorBehindTheEndOfAHistoryThatWasRolledBackDoesNotWait) {
    past("b", 3);
    const std::string gone = board::encode_cursor({{"e1", 20, 3}, 0});
    const auto board = follow({"b"}, gone);
    const auto all = follow({}, gone);
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("resync e1 3"));
    EXPECT_THAT(all->heard(), ElementsAre("resync e1 3"));
}

TEST_F(ResumeTest, AGapOfAStreamOfAllBoardsEndsAtAnEventThatItsCursorNames) {
    const auto events = past("b", 3);
    for (int i = 0; i < 10; ++i) {
        show("c", "more than the ring has");
    }
    const auto last_gone = history.all[4];
    history.all.erase(history.all.begin(), history.all.begin() + 5);
    const auto all = follow({}, events[0].cursor);
    turns();

    EXPECT_EQ(all->heard().front(), "gap 2-5");
    const std::string named = "e1.5.1." + board::event_hash_text(last_gone.id);
    EXPECT_NE(all->text().find("id: " + named + "\nevent: boardbus.gap"), std::string::npos) << all->text();
}

}  // namespace
}  // namespace boardbus::hub

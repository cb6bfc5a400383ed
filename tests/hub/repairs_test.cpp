// Readers while the history breaks off.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <memory>

#include "hub/resume_fixture.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Break = board::HistoryBreak::Kind;

class RepairsTest : public ResumeTest {
  protected:
    /// A break that only board b has missed something by; its repair lasts until the history answers.
    void break_off() {
        history.add("b", "unseen");
        history.keeping = true;
        hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    }
};

TEST_F(RepairsTest, AReplacedHistoryIsToldToEveryReader) {
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

TEST_F(RepairsTest, AReplacedHistoryWithAPastIsAskedForTheLastSequence) {
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

TEST_F(RepairsTest, ATrimmedLogIsMendedFromTheBoardsHistory) {
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

TEST_F(RepairsTest, WhatWasOnItsWayWhenAReaderCameBackIsMendedToo) {
    const auto events = past("b", 3);
    history.add("b", "on its way 4");
    history.add("b", "on its way 5");
    const auto board = follow({"b"}, events[0].cursor);
    turns();

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("b2", "b3", "on its way 4", "on its way 5"));
}

TEST_F(RepairsTest, AStreamOfSeveralBoardsIsCutByABreakAndGoesOnByPosition) {
    const auto begin = show("b", "1");
    const auto some = follow_stream({"b", "c"}, begin.cursor);
    turns();
    show("c", "2");
    history.add("c", "3");
    history.add("d", "4");
    history.add("b", "5");
    const auto last = history.add("c", "6");

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = last.position->pos});
    turns();

    // Board by board it would be 5 before 3, or 6 before 5: cursors that leave out what comes after them.
    EXPECT_TRUE(some->cut);
    EXPECT_THAT(some->heard(), ElementsAre("2"));
    const auto back = follow_stream({"b", "c"}, history.all[1].cursor);
    turns();
    show("b", "7");
    turns();
    EXPECT_THAT(back->heard(), ElementsAre("3", "5", "6", "7"));

    history.begin("e2");
    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 0});
    turns();
    EXPECT_TRUE(back->cut);
    const auto again = follow_stream({"b", "c"}, last.cursor);
    turns();
    EXPECT_THAT(again->heard(), ElementsAre("resync e2 0"));
}

TEST_F(RepairsTest, WhatABoardsHistoryHasLostIsAGap) {
    const auto board = follow({"b"});
    turns();
    show("b", "1");
    history.board_most = 2;
    for (int i = 2; i <= 5; ++i) {
        history.add("b", std::to_string(i));
    }

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    turns();
    show("b", "6");
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("1", "gap 2-3", "4", "5", "6"));
}

TEST_F(RepairsTest, ABoardThatTheHistoryForgotDuringTheBreakBeginsAnew) {
    const auto seen = follow({"b"});
    const auto fresh = follow({"c"});
    turns();
    show("b", "1");
    turns();
    for (const char* board : {"b", "c"}) {
        history.add(board, "nobody will know");
        history.evict(board);
    }

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    turns();
    show("b", "back");
    show("c", "back");
    turns();

    EXPECT_THAT(seen->heard(), ElementsAre("1", "resync e1 0", "back"));
    EXPECT_THAT(fresh->heard(), ElementsAre("resync e1 0", "back"));
}

TEST_F(RepairsTest, ABoardThatWasForgottenBeforeTheBreakHasLostNothingInIt) {
    const auto seen = follow({"b"});
    const auto empty = follow({"c"});
    turns();
    show("b", "1");
    show("d", "2");
    history.evict("b");
    for (int i = 0; i < 5; ++i) {
        history.add("d", "unseen");
    }

    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    turns();

    EXPECT_THAT(seen->heard(), ElementsAre("1"));
    EXPECT_THAT(empty->heard(), IsEmpty());
}

TEST_F(RepairsTest, AHistoryThatDoesNotAnswerCutsTheReadersAtTheDeadline) {
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

TEST_F(RepairsTest, AResumeDuringAChangeOfEpochEndsInAResync) {
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

TEST_F(RepairsTest, AStreamThatComesDuringARepairMissesNothingOfWhatWaits) {
    const auto board = follow({"b"});
    turns();
    for (const int waiting : {3, 20}) {  // More than the ring holds: the history has them.
        break_off();
        const auto all = follow({});
        const auto some = follow_stream({"b", "c"}, "");
        turns();
        std::vector<std::string> shown;
        for (int i = 0; i < waiting; ++i) {
            shown.push_back("waits " + std::to_string(i));
            show("c", shown.back());
        }
        EXPECT_FALSE(hub.is_settled());

        history.keeping = false;
        history.answer_one();
        turns();
        show("c", "live");
        turns();

        shown.push_back("live");
        EXPECT_EQ(all->heard(), shown);
        EXPECT_EQ(some->heard(), shown);
    }
}

TEST_F(RepairsTest, AnEventWithoutAPlaceReachesWhoComesDuringARepair) {
    const auto board = follow({"b"});
    turns();
    break_off();
    const auto all = follow({});
    const auto some = follow_stream({"b", "c"}, "");
    turns();
    hub.on_activities({history.foreign("c", "foreign")});
    // A second break.
    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    history.keeping = false;
    history.answer_one();
    turns();

    EXPECT_THAT(all->heard(), ElementsAre("foreign", "resync e1 1"));
    EXPECT_THAT(some->heard(), ElementsAre("foreign", "resync e1 1"));
    EXPECT_THAT(board->heard(), ElementsAre("unseen"));
}

TEST_F(RepairsTest, AStreamThatMeetsASecondBreakIsToldThatItMayHaveMissedEvents) {
    const auto board = follow({"b"});
    turns();
    break_off();
    const auto all = follow({});
    turns();
    history.add("c", "unseen, too");
    hub.on_break({.kind = Break::trimmed, .epoch = "e1", .last_pos = history.pos});
    show("c", "waits");
    turns();

    history.keeping = false;
    history.answer_one();
    turns();
    history.answer_one();
    turns();
    show("c", "live");
    turns();

    EXPECT_THAT(all->heard(), ElementsAre("resync e1 3", "live"));
}

TEST_F(RepairsTest, AStreamThatComesDuringARepairOfAnotherBoardKnowsItsPlace) {
    const auto board = follow({"b"});
    turns();
    break_off();
    const auto some = follow_stream({"c", "d"}, "");
    turns();
    show("b", "not for it");
    history.keeping = false;
    history.answer_one();
    turns();

    ASSERT_TRUE(some->joined);
    EXPECT_TRUE(some->answers.back().cursor.starts_with("e1.1.")) << some->answers.back().cursor;
}

TEST_F(RepairsTest, AResyncGoesOnBehindTheBoardsLastEvent) {
    const auto board = follow_stream({"b"}, "");
    turns();
    history.begin("e2");
    const auto last = history.add("b", "unseen");
    history.add("c", "unseen");

    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 2});
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("resync e2 1"));
    EXPECT_NE(board->text().find("id: " + last.cursor + "\n"), std::string::npos) << board->text();
}

TEST_F(RepairsTest, AResyncCountsNoEventThatIsStillToBeShown) {
    const auto board = follow({"b"});
    turns();
    history.begin("e2");
    history.add("c", "unseen");

    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 1});
    show("b", "waits");
    history.boards["b"].clear();
    turns();

    EXPECT_THAT(board->heard(), ElementsAre("resync e2 1", "waits"));
}

TEST_F(RepairsTest, APlaceInAHistoryThatWasReplacedIsNoneInTheNext) {
    past("b", 6);
    const auto reader = follow({"b"});
    history.begin("e2");
    history.add("c", "unseen");
    hub.on_break({.kind = Break::replaced, .epoch = "e2", .last_pos = 1});  // Its question has not left yet.
    const auto on_its_way = history.add("b", "on its way");
    turns();
    hub.on_activities({on_its_way});
    turns();

    EXPECT_EQ(reader->answers.back().seq, 1U);
    EXPECT_THAT(reader->heard(), ElementsAre("on its way"));
}

}  // namespace
}  // namespace boardbus::hub

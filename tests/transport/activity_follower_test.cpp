// SPDX-License-Identifier: Apache-2.0
#include "transport/activity_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "board/activity.h"

namespace boardbus::transport {
namespace {

using board::ActivityView;
using board::HistoryBreak;
using board::HistoryPage;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Ask = ActivityFollower::Ask;

struct Shown final : board::ActivitySink {
    void on_activities(std::vector<ActivityView> activities) override {
        for (const ActivityView& view : activities) {
            ids.push_back(view.id);
        }
    }
    void on_break(HistoryBreak cause) override {
        const char* kind = cause.kind == HistoryBreak::Kind::replaced ? "replaced " : "trimmed ";
        ids.push_back(kind + cause.epoch + " " + std::to_string(cause.last_pos));
    }
    void on_begin(std::string, std::uint64_t) override {}
    void on_live(bool) override {}

    std::vector<std::string> ids;
};

ActivityView event(std::uint64_t pos, const std::string& id, const std::string& epoch = "e", std::size_t size = 0) {
    const std::string activity =
        R"({"id":")" + id + R"(","board":"b","action":"a","payload":")" + std::string(size, 'x') + "\"}";
    return board::parse_activity(board::place_activity(activity, {.epoch = epoch, .pos = pos, .seq = pos}, id)).value();
}

/// Events `first` to `last`, their ids their positions.
std::vector<ActivityView> events(std::uint64_t first, std::uint64_t last, const std::string& epoch = "e") {
    std::vector<ActivityView> made;
    for (; first <= last; ++first) {
        made.push_back(event(first, std::to_string(first), epoch));
    }
    return made;
}

HistoryPage page(std::vector<ActivityView> events, std::uint64_t last, const std::string& epoch = "e") {
    return {.epoch = epoch, .events = std::move(events), .first = 1, .last = last};
}

struct ActivityFollowerTest : testing::Test {
    /// Live at `pos`, whose event has that id.
    void go_live(std::uint64_t pos) {
        ASSERT_EQ(follower.on_subscribed(), Ask::tail);
        ASSERT_EQ(follower.on_tail({.epoch = "e", .pos = pos, .event_id = std::to_string(pos)}), Ask::nothing);
        ASSERT_TRUE(follower.is_live());
    }

    Shown shown;
    ActivityFollower follower{shown};
};

TEST_F(ActivityFollowerTest, BeginsAtTheEndOfTheLog) {
    EXPECT_EQ(follower.on_subscribed(), Ask::tail);
    EXPECT_EQ(follower.on_messages(events(4, 6)), Ask::nothing);
    EXPECT_EQ(follower.on_tail({.epoch = "e", .pos = 5, .event_id = "5"}), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("6"));
    EXPECT_TRUE(follower.is_live());
}

TEST_F(ActivityFollowerTest, BeginsWithTheFirstEventOfAnEmptyHistory) {
    follower.on_subscribed();
    follower.on_tail({});

    EXPECT_EQ(follower.on_messages(events(1, 2)), Ask::nothing);
    EXPECT_THAT(shown.ids, ElementsAre("1", "2"));
}

TEST_F(ActivityFollowerTest, TakesALogWithoutAnEpochForNone) {
    follower.on_subscribed();
    follower.on_tail({.epoch = "", .pos = 5, .event_id = "5"});

    EXPECT_EQ(follower.on_messages(events(1, 2, "f")), Ask::nothing);
    EXPECT_THAT(shown.ids, ElementsAre("1", "2"));
}

TEST_F(ActivityFollowerTest, ShowsWhatContinuesAndDropsWhatItHasShown) {
    go_live(3);

    EXPECT_EQ(follower.on_messages(events(4, 5)), Ask::nothing);
    EXPECT_EQ(follower.on_messages(events(3, 6)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5", "6"));
}

TEST_F(ActivityFollowerTest, FillsAHoleFromTheLogAndGoesOn) {
    go_live(3);

    EXPECT_EQ(follower.on_messages(events(6, 6)), Ask::page);
    EXPECT_EQ(follower.page_after(), 2U);
    EXPECT_EQ(follower.on_messages(events(7, 7)), Ask::nothing);
    EXPECT_EQ(follower.on_page(page(events(3, 4), 6)), Ask::page);
    EXPECT_EQ(follower.page_after(), 4U);
    EXPECT_EQ(follower.on_page(page(events(5, 6), 6)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5", "6", "7"));
    EXPECT_EQ(follower.counts().repaired, 3U);
}

TEST_F(ActivityFollowerTest, APageOfTheLastShownEventAloneIsNoEnd) {
    go_live(3);
    follower.on_messages(events(5, 5));

    EXPECT_EQ(follower.on_page(page(events(3, 3), 5)), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(4, 5), 5)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5"));
}

TEST_F(ActivityFollowerTest, ReadsOnWhenTheLogGrewMeanwhile) {
    go_live(3);
    follower.on_messages(events(5, 5));
    follower.on_messages(events(7, 7));

    EXPECT_EQ(follower.on_page(page(events(3, 5), 5)), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(5, 7), 7)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5", "6", "7"));
}

TEST_F(ActivityFollowerTest, AsksAgainAfterANewSubscription) {
    go_live(3);
    follower.on_messages(events(5, 5));

    EXPECT_EQ(follower.on_subscribed(), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(3, 5), 5)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5"));
}

TEST_F(ActivityFollowerTest, SaysWhatTheLogNoLongerHas) {
    go_live(3);
    follower.on_messages(events(9, 9));

    EXPECT_EQ(follower.on_page(page(events(7, 9), 9)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("trimmed e 6", "7", "8", "9"));
}

TEST_F(ActivityFollowerTest, SaysSoWhenTheLogIsEmpty) {
    go_live(3);
    follower.on_subscribed();

    EXPECT_EQ(follower.on_page(page({}, 9)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("trimmed e 9"));
    EXPECT_EQ(follower.pos(), 9U);
}

TEST_F(ActivityFollowerTest, ALogWithoutTheLastShownEventIsNoHole) {
    go_live(3);
    follower.on_subscribed();

    EXPECT_EQ(follower.on_page(page(events(4, 5), 5)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5"));
}

TEST_F(ActivityFollowerTest, ShowsANewHistoryFromItsBeginning) {
    go_live(3);

    EXPECT_EQ(follower.on_messages(events(2, 2, "f")), Ask::page);
    EXPECT_EQ(follower.on_page(page({}, 2, "f")), Ask::page);
    EXPECT_EQ(follower.page_after(), 0U);
    EXPECT_EQ(follower.on_page(page(events(1, 2, "f"), 2, "f")), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("replaced f 0", "1", "2"));
}

TEST_F(ActivityFollowerTest, TellsOfANewHistoryAlsoWhenAnAnswerWasLost) {
    go_live(3);
    follower.on_messages(events(2, 2, "f"));
    follower.on_page(page({}, 2, "f"));

    EXPECT_EQ(follower.ask_again(), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(1, 2, "f"), 2, "f")), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("replaced f 0", "1", "2"));
}

TEST_F(ActivityFollowerTest, FindsWhereAHistoryWasRolledBack) {
    go_live(3);
    follower.on_messages(events(4, 8));
    shown.ids.clear();
    follower.on_subscribed();

    // The new line of events: 1 to 5 as before, then others, the old 7 among them.
    std::vector<ActivityView> line = events(3, 5);
    line.push_back(event(6, "x"));
    line.push_back(event(7, "7"));
    EXPECT_EQ(follower.on_page(page({event(7, "7")}, 7)), Ask::page);
    EXPECT_EQ(follower.page_after(), 2U);
    EXPECT_EQ(follower.on_page(page(line, 7)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("replaced e 5", "x", "7"));
}

TEST_F(ActivityFollowerTest, ALogThatEndsEarlierWasRolledBack) {
    go_live(3);
    follower.on_messages(events(4, 8));
    shown.ids.clear();
    follower.on_subscribed();

    EXPECT_EQ(follower.on_page(page({}, 6)), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(3, 6), 6)), Ask::nothing);
    EXPECT_EQ(follower.on_messages(events(7, 7)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("replaced e 6", "7"));
}

TEST_F(ActivityFollowerTest, AnotherEventAtAKnownPlaceIsNoticed) {
    go_live(3);
    follower.on_messages(events(4, 5));

    EXPECT_EQ(follower.on_messages({event(5, "x")}), Ask::page);
}

TEST_F(ActivityFollowerTest, TheSameIdTwiceInOneHistoryIsTwoEvents) {
    go_live(3);

    follower.on_messages({event(4, "x"), event(5, "x")});

    EXPECT_THAT(shown.ids, ElementsAre("x", "x"));
}

TEST_F(ActivityFollowerTest, MessagesThatTheLogDoesNotKnowAreDroppedAndAskedForOnce) {
    go_live(3);

    EXPECT_EQ(follower.on_messages(events(9, 9, "other")), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(3, 3), 3)), Ask::nothing);
    EXPECT_EQ(follower.on_messages(events(10, 10, "other")), Ask::nothing);
    EXPECT_EQ(follower.on_messages(events(4, 4)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4"));
    EXPECT_EQ(follower.counts().foreign, 2U);
}

TEST_F(ActivityFollowerTest, WithoutAPositionTheyAreShownAsTheyCome) {
    follower.on_subscribed();
    std::vector<ActivityView> foreign;
    foreign.push_back(board::parse_activity(R"({"id":"f","board":"b","action":"a","pos":7})").value());

    EXPECT_EQ(follower.on_messages(std::move(foreign)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("f"));
}

TEST_F(ActivityFollowerTest, WhatWaitsIsBoundedAndComesFromTheLogThen) {
    go_live(3);
    follower.on_messages(events(5, 5));
    const std::size_t size = ActivityFollower::kWaitingBytesMax / 2;
    follower.on_messages({event(6, "6", "e", size), event(7, "7", "e", size), event(8, "8", "e", size)});

    EXPECT_EQ(follower.on_page(page(events(3, 6), 6)), Ask::page);
    EXPECT_EQ(follower.on_page(page(events(6, 8), 8)), Ask::nothing);

    EXPECT_THAT(shown.ids, ElementsAre("4", "5", "6", "7", "8"));
}

TEST_F(ActivityFollowerTest, TheEndOfTheLogTellsOfALostMessageAndOfAnotherHistory) {
    go_live(3);
    follower.on_messages(events(4, 5));

    EXPECT_EQ(follower.look_at({.epoch = "e", .pos = 7, .event_id = "7"}, 5).newest, 7U);
    EXPECT_FALSE(follower.look_at({.epoch = "e", .pos = 5, .event_id = "5"}, 5).other_history);
    EXPECT_FALSE(follower.look_at({.epoch = "e", .pos = 4, .event_id = "4"}, 4).other_history) << "asked before 5 came";
    EXPECT_FALSE(follower.look_at({}, 5).other_history) << "lost, and nothing new yet";
    EXPECT_TRUE(follower.look_at({.epoch = "e", .pos = 4, .event_id = "4"}, 5).other_history);
    EXPECT_TRUE(follower.look_at({.epoch = "e", .pos = 5, .event_id = "x"}, 5).other_history);
    EXPECT_TRUE(follower.look_at({.epoch = "f", .pos = 9, .event_id = "9"}, 5).other_history);
}

TEST(ShownEvents, KnowsTheLastOnesAndTheirPlaces) {
    ShownEvents shown;
    EXPECT_EQ(shown.at(0), "");
    EXPECT_EQ(shown.oldest_place(), 0U);
    for (std::uint64_t pos = 1; pos <= ShownEvents::kMost + 2; ++pos) {
        shown.add(pos, std::to_string(pos));
    }

    EXPECT_EQ(shown.oldest_place(), 3U);
    EXPECT_EQ(shown.at(2), "");
    EXPECT_EQ(shown.at(3), "3");
    EXPECT_EQ(shown.at(ShownEvents::kMost + 2), std::to_string(ShownEvents::kMost + 2));
    EXPECT_EQ(shown.at(ShownEvents::kMost + 3), "");

    shown.add(2, "elsewhere");
    EXPECT_EQ(shown.at(3), "");
    EXPECT_EQ(shown.at(2), "elsewhere");
}

}  // namespace
}  // namespace boardbus::transport

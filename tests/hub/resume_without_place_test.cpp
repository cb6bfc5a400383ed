// Readers whose process does not know its place yet, and events that have none.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "hub/resume_fixture.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(ResumeTest, AnEventWithoutAPlaceReachesWhoIsAskingForHis) {
    past("b", 3);
    history.keeping = true;
    const auto reader = follow_stream({"b"}, "");
    turns();
    hub.on_activities({history.foreign("b", "foreign")});
    hub.on_activities({history.foreign("c", "of another board")});
    show("b", "ours");
    history.answer_one();
    turns();
    hub.on_activities({history.foreign("b", "later")});
    turns();

    EXPECT_EQ(history.reads, 1U);
    EXPECT_THAT(reader->heard(), ElementsAre("ours", "foreign", "later"));
}

TEST_F(ResumeTest, AnEventWithoutAPlaceBetweenTwoSlicesIsShownBehindTheLast) {
    const auto first = show("b", "1");
    show("b", "2");
    show("b", "3");
    const auto reader = follow({"b"}, first.cursor, 1);
    hub.on_activities({history.foreign("b", "foreign")});
    turns();

    EXPECT_GT(reader->answers.size(), 1U);
    EXPECT_THAT(reader->heard(), ElementsAre("2", "3", "foreign"));
}

TEST_F(ResumeTest, OfManyEventsWithoutAPlaceWhoIsAskingGetsTheLatest) {
    history.keeping = true;
    const auto reader = follow({"b"});
    turns();
    for (int i = 0; i < 300; ++i) {
        hub.on_activities({history.foreign("b", std::to_string(i))});
    }
    history.answer_one();
    turns();

    const auto heard = reader->heard();
    ASSERT_EQ(heard.size(), 256U);
    EXPECT_EQ(heard.front(), "44");
    EXPECT_EQ(heard.back(), "299");
}

TEST_F(NoPlaceTest, APlainSocketThatCameBeforeMayHaveMissedEvents) {
    TestReader reader(loop, shard, Form::ws);
    shard.join(reader, "b");
    hub.on_begin("e1", 7);
    turns();

    EXPECT_TRUE(reader.cut);
    EXPECT_EQ(hub.websockets("b"), 0U);
}

TEST_F(NoPlaceTest, APlainSocketThatCameBeforeTheHistoryBeganHasMissedNothing) {
    TestReader reader(loop, shard, Form::ws);
    shard.join(reader, "b");
    hub.on_begin("e1", 0);
    turns();

    EXPECT_FALSE(reader.cut);
    EXPECT_EQ(hub.websockets("b"), 1U);
}

TEST_F(NoPlaceTest, AStreamThatCameBeforeIsToldThatItMayHaveMissedEvents) {
    const auto all = follow({});
    turns();
    hub.on_begin("e1", 7);
    hub.on_live(true);
    turns();

    ASSERT_TRUE(all->joined);
    EXPECT_THAT(all->heard(), ElementsAre("resync e1 7"));
}

TEST_F(NoPlaceTest, AStreamThatCameBeforeTheHistoryBeganHasMissedNothing) {
    const auto all = follow({});
    turns();
    hub.on_begin("e1", 0);
    hub.on_live(true);
    turns();

    ASSERT_TRUE(all->joined);
    EXPECT_THAT(all->heard(), IsEmpty());
}

}  // namespace
}  // namespace boardbus::hub

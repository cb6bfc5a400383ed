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
    const auto ours = show("b", "ours");
    history.answer_one();
    turns();

    EXPECT_EQ(history.reads, 1U);
    EXPECT_THAT(reader->heard(), ElementsAre("foreign", "ours"));
    const std::string& text = reader->text();
    EXPECT_EQ(text.find("id: " + ours.cursor), text.rfind("id: ")) << "it comes back with its place";
    hub.on_activities({history.foreign("b", "later")});
    turns();
    EXPECT_THAT(reader->heard(), ElementsAre("foreign", "ours", "later"));
}

TEST_F(ResumeTest, AnEventWithoutAPlaceBetweenTwoSlicesComesWithTheLast) {
    const auto first = show("b", "1");
    show("b", "2");
    show("b", "3");
    const auto reader = follow({"b"}, first.cursor, 1);
    for (int turn = 0; turn < 10 && reader->answers.empty(); ++turn) {
        turns(1);
    }
    ASSERT_THAT(reader->heard(), ElementsAre("2"));
    hub.on_activities({history.foreign("b", "foreign")});
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("2", "foreign", "3"));
}

TEST_F(ResumeTest, ALongEventWithoutAPlaceReachesWhoIsAskingToo) {
    history.keeping = true;
    const auto reader = follow_stream({"b"}, "");
    turns();
    hub.on_activities({history.foreign("b", "short")});
    hub.on_activities({history.foreign("b", std::string(2'000'000, 'x'))});
    history.answer_one();
    turns();

    EXPECT_TRUE(reader->joined);
    EXPECT_EQ(hub.ring().placeless(), 2U);
    int seen = 0;
    hub.ring().each_placeless(0, [&](const board::ActivityView&) { ++seen; });
    EXPECT_EQ(seen, 1) << "the bound is a megabyte, or one event";
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

class CameBeforeTest : public NoPlaceTest {
  protected:
    /// The process finds its bus, whose history is at `last_pos`.
    void find_the_bus(std::uint64_t last_pos) {
        turns();
        hub.on_begin("e1", last_pos);
        hub.on_live(true);
        turns();
    }
};

TEST_F(CameBeforeTest, APlainSocketMayHaveMissedEvents) {
    TestReader reader(loop, shard, Form::ws);
    shard.join(reader, "b");
    find_the_bus(7);

    EXPECT_TRUE(reader.cut);
    EXPECT_EQ(hub.websockets("b"), 0U);
}

TEST_F(CameBeforeTest, APlainSocketHasMissedNothingOfAHistoryThatBegins) {
    TestReader reader(loop, shard, Form::ws);
    shard.join(reader, "b");
    find_the_bus(0);

    EXPECT_FALSE(reader.cut);
    EXPECT_EQ(hub.websockets("b"), 1U);
}

TEST_F(CameBeforeTest, AStreamIsToldThatItMayHaveMissedEvents) {
    const auto all = follow({});
    find_the_bus(7);

    ASSERT_TRUE(all->joined);
    EXPECT_THAT(all->heard(), ElementsAre("resync e1 7"));
}

TEST_F(CameBeforeTest, AStreamHasMissedNothingOfAHistoryThatBegins) {
    const auto all = follow({});
    find_the_bus(0);

    ASSERT_TRUE(all->joined);
    EXPECT_THAT(all->heard(), IsEmpty());
}

}  // namespace
}  // namespace boardbus::hub

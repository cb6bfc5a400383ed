// Readers of a loop that is far behind.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "hub/resume_fixture.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A second loop, which takes its turns only when the test says so.
class LaggingLoopTest : public ResumeTest {
  protected:
    LaggingLoopTest() { hub.add_shard(there); }

    std::unique_ptr<Follower> follow_there(std::vector<std::string> boards, std::string_view cursor = "") {
        ResumePoint point;
        if (!cursor.empty()) {
            point = {.kind = ResumePoint::Kind::cursor, .after = *board::parse_cursor(cursor)};
        }
        return std::make_unique<Follower>(other_loop, there, hub, std::move(boards), point);
    }

    /// So many bytes come to wait for the other loop.
    void flood(std::size_t bytes) {
        auto event = *board::parse_activity(R"({"id":"i","board":"big","action":"x","active_connections":0})");
        event.json += std::string(bytes, ' ');
        hub.on_activities({std::move(event)});
    }

    Loop other_loop;
    telemetry::LoopCounters other_counters;
    Shard there{other_loop, hub, budget, other_counters};
};

TEST_F(LaggingLoopTest, KeepsNoPageOfTheHistoryFromTheReadersOfOthers) {
    TestReader big(other_loop, there, Form::ws);
    there.join(big, "big");
    const auto events = past("b", 20);
    history.keeping = true;
    std::vector<std::unique_ptr<Follower>> lagging;
    lagging.reserve(16);
    for (int i = 0; i < 16; ++i) {
        lagging.push_back(follow_there({"b"}, events[static_cast<std::size_t>(i)].cursor));
    }
    turns();
    flood(std::size_t{17} << 20U);
    history.keeping = false;
    while (!history.kept.empty()) {
        history.answer_one();
    }
    turns();

    const auto reader = follow({"b"}, events[17].cursor);
    turns();

    EXPECT_THAT(reader->heard(), ElementsAre("b19", "b20"));
    EXPECT_EQ(hub.reads().pages(), 0U);
}

TEST_F(LaggingLoopTest, TellsAReaderThatJoinedBehindAnOverrunOfTheNextOne) {
    TestReader big(other_loop, there, Form::ws);
    there.join(big, "big");
    show("b", "1");
    flood(std::size_t{65} << 20U);
    flood(1);  // Too much.
    const auto reader = follow_there({"b"});
    turns();
    show("b", "missed");

    other_loop.turn(std::chrono::milliseconds(0));

    ASSERT_TRUE(reader->joined);
    EXPECT_THAT(reader->heard(), IsEmpty());
    EXPECT_THAT(reader->troubles, ElementsAre(Trouble::too_slow));
}

TEST_F(LaggingLoopTest, AReaderThatJoinsBehindAnOverrunAndMissesNothingGoesOn) {
    TestReader big(other_loop, there, Form::ws);
    there.join(big, "big");
    show("b", "1");
    flood(std::size_t{65} << 20U);
    flood(1);
    const auto reader = follow_there({"b"});
    turns();
    other_loop.turn(std::chrono::milliseconds(0));

    show("b", "2");
    other_loop.turn(std::chrono::milliseconds(0));

    EXPECT_THAT(reader->heard(), ElementsAre("2"));
    EXPECT_THAT(reader->troubles, IsEmpty());
}

}  // namespace
}  // namespace boardbus::hub

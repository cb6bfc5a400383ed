// RedisFeed against a real redis-server: what a reader sees when messages, connections, logs and whole histories are lost.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "board/activity.h"
#include "transport/redis_live.h"

namespace boardbus::transport {
namespace {

using board::HistoryBreak;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using testing::SizeIs;

class LiveFeed : public LiveRedis {
  protected:
    void expect_seen(int count) {
        run_until([&] { return seen_.actions.size() >= static_cast<std::size_t>(count); }, 20s);
        EXPECT_THAT(seen_.actions, ElementsAreArray(names(0, count)));
    }
};

TEST_F(LiveFeed, AReconnectInABurstShowsNoHoleAndNoRepeat) {
    bring_up();

    int killed = 0;
    for (int at = 0; at < 5000; at += 50) {
        commit_surely(at, at + 50);
        killed += client_->call({"CLIENT", "KILL", "TYPE", "pubsub"}) == "1" ? 1 : 0;
        run_for(10ms);
    }

    expect_seen(5000);
    EXPECT_THAT(seen_.breaks, IsEmpty());
    EXPECT_GT(killed, 10);
    EXPECT_GT(feed_->counts().repaired, 0U);
    for (std::size_t i = 0; i < seen_.views.size(); ++i) {
        ASSERT_EQ(seen_.views[i].position->pos, i + 1);
    }
}

TEST_F(LiveFeed, ALostConnectionOfTheLogIsNoHole) {
    bring_up();

    for (int at = 0; at < 1000; at += 50) {
        commit_surely(at, at + 50);
        client_->call({"CLIENT", "KILL", "TYPE", at % 100 == 0 ? "normal" : "pubsub"});
    }

    expect_seen(1000);
    EXPECT_THAT(seen_.breaks, IsEmpty());
}

TEST_F(LiveFeed, ALastMessageThatWasLostIsFoundInTheLog) {
    bring_up();
    commit_surely(0, 3);
    expect_seen(3);
    const std::string epoch = seen_.views[0].position->epoch;

    // The same as the commit script, without its PUBLISH.
    const std::string event =
        board::place_activity(request("k3").activity, {.epoch = epoch, .pos = 4, .seq = 4}, "id-k3");
    client_->call(
        {"XADD", "ch:log", "0-4", "time", "9999999999", "board", "b", "seq", "4", "id", "id-k3", "event", event});

    expect_seen(4);
    EXPECT_EQ(feed_->reconnects(), 0U);
    commit_surely(4, 6);
    expect_seen(6);
    EXPECT_THAT(seen_.breaks, IsEmpty());
}

TEST_F(LiveFeed, NothingBeforeItsFirstStartIsShown) {
    bring_up();
    commit_surely(0, 3);
    SeenEvents late;
    RedisFeed feed(loop_, redis(), "ch", late, metrics_, [](const Result<void>&) {});

    feed.start();
    run_until([&] { return feed.is_live(); });
    commit_surely(3, 5);
    run_until([&] { return late.actions.size() == 2; });

    EXPECT_THAT(late.actions, ElementsAre("k3", "k4"));
    EXPECT_THAT(late.breaks, IsEmpty());
    EXPECT_THAT(late.lives, ElementsAre(true));
}

TEST_F(LiveFeed, FlushAllBeginsANewHistory) {
    bring_up();
    commit_surely(0, 3);
    expect_seen(3);
    const std::string epoch = seen_.views[0].position->epoch;

    client_->call({"FLUSHALL"});
    commit_surely(3, 6);

    expect_seen(6);
    ASSERT_THAT(seen_.breaks, SizeIs(1));
    EXPECT_EQ(seen_.breaks[0].kind, HistoryBreak::Kind::replaced);
    EXPECT_EQ(seen_.breaks[0].last_pos, 0U);
    EXPECT_NE(seen_.breaks[0].epoch, epoch);
    EXPECT_EQ(seen_.views[3].position, (board::Position{.epoch = seen_.breaks[0].epoch, .pos = 1, .seq = 1}));
}

TEST_F(LiveFeed, ALostLogOrALostStateBeginsANewHistoryToo) {
    bring_up();
    commit_surely(0, 3);
    client_->call({"DEL", "ch:log"});
    commit_surely(3, 6);
    expect_seen(6);
    EXPECT_THAT(seen_.breaks, SizeIs(1));

    client_->call({"DEL", "ch:state"});
    commit_surely(6, 9);

    expect_seen(9);
    EXPECT_THAT(seen_.breaks, SizeIs(2));
    // The streams of the lost histories hold nothing of the new one.
    std::optional<board::HistoryPage> page;
    feed_->history().read_board_after("b", 0, 100, [&](auto read) { page = std::move(read).value(); });
    run_until([&] { return page.has_value(); });
    EXPECT_THAT(page->events, SizeIs(3));
    EXPECT_EQ(page->first, 1U);
}

TEST_F(LiveFeed, AFlushedScriptIsNothing) {
    bring_up();
    commit_surely(0, 3);

    client_->call({"SCRIPT", "FLUSH"});
    commit_surely(3, 6);

    expect_seen(6);
    EXPECT_THAT(seen_.breaks, IsEmpty());
}

TEST_F(LiveFeed, ARestartWithAppendOnlyFileLosesNothing) {
    bring_up({}, {"--appendonly", "yes", "--appendfsync", "always"});
    commit_surely(0, 100);
    expect_seen(100);

    server_.kill();
    server_.start({"--appendonly", "yes", "--appendfsync", "always"});
    commit_surely(100, 200);

    expect_seen(200);
    EXPECT_THAT(seen_.breaks, IsEmpty());
}

TEST_F(LiveFeed, ARestartWithoutPersistenceIsANewHistory) {
    bring_up();
    commit_surely(0, 100);
    expect_seen(100);

    server_.kill();
    server_.start();
    commit_surely(100, 200);

    expect_seen(200);
    ASSERT_THAT(seen_.breaks, SizeIs(1));
    EXPECT_EQ(seen_.breaks[0].kind, HistoryBreak::Kind::replaced);
}

TEST_F(LiveFeed, ARollbackIsToldAndTheNewLineIsShownWhole) {
    bring_up({}, {"--dbfilename", "d.rdb"});
    commit_surely(0, 10);
    expect_seen(10);
    EXPECT_EQ(client_->call({"SAVE"}), "OK");
    commit_surely(10, 15);
    expect_seen(15);

    // As after a failover to a replica that was behind: the end is forgotten, and one of its events is committed again.
    server_.kill();
    server_.start({"--dbfilename", "d.rdb"});
    commit_surely(15, 17);
    commit_surely(12, 13);
    run_until([&] { return seen_.views.size() == 18; });

    ASSERT_THAT(seen_.breaks, SizeIs(1));
    EXPECT_EQ(seen_.breaks[0].kind, HistoryBreak::Kind::replaced);
    EXPECT_EQ(seen_.breaks[0].epoch, seen_.views[0].position->epoch);
    EXPECT_EQ(seen_.breaks[0].last_pos, 10U);
    EXPECT_EQ(seen_.views[15].position->pos, 11U);
    EXPECT_EQ(seen_.views[17].action, "k12") << "it belongs to the new line, and its numbers have no hole";
    EXPECT_EQ(seen_.views[17].position->pos, 13U);
    EXPECT_THAT(seen_.first_actions(), ElementsAreArray(names(0, 17)));
}

TEST_F(LiveFeed, ATrimmedLogIsToldAndShownFromItsFirstEvent) {
    bring_up({.size = 20, .board_size = 20});
    commit_surely(0, 10);
    expect_seen(10);

    // The app is cut off while more happens than the log keeps.
    client_->call({"ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all", "allchannels"});
    RedisOptions as_app = redis();
    as_app.url.user = "app";
    as_app.url.password = "any";
    SeenEvents seen;
    RedisFeed feed(loop_, as_app, "ch", seen, metrics_, [](const Result<void>&) {});
    feed.start();
    run_until([&] { return feed.is_live(); });
    client_->call({"ACL", "SETUSER", "app", "off"});
    client_->call({"CLIENT", "KILL", "USER", "app"});
    run_until([&] { return !feed.is_live(); });
    commit_surely(10, 110);
    client_->call({"ACL", "SETUSER", "app", "on"});
    run_until([&] { return feed.is_live() && !seen.actions.empty(); });

    ASSERT_THAT(seen.breaks, SizeIs(1));
    EXPECT_EQ(seen.breaks[0].kind, HistoryBreak::Kind::trimmed);
    EXPECT_GE(seen.breaks[0].last_pos, 85U);
    EXPECT_THAT(seen.actions, ElementsAreArray(names(static_cast<int>(seen.breaks[0].last_pos), 110)));
    EXPECT_THAT(seen.lives, ElementsAre(true, false, true));
    EXPECT_THAT(seen_.breaks, IsEmpty()) << "who was there saw everything";
}

TEST_F(LiveFeed, AnotherPipelinesEventsOfTheSameChannelAreNotShown) {
    bring_up();
    commit_surely(0, 2);
    RedisBusOptions other = bus_options();
    other.redis.url.db = 5;
    RedisBus stranger(loop_, other, [](const Result<void>&) {});
    stranger.start();
    run_until([&] { return stranger.is_up(); });

    testing::internal::CaptureStderr();
    commit_on(stranger, {request("x"), request("y")});
    commit_surely(2, 4);
    commit_on(stranger, {request("z")});
    commit_surely(4, 6);

    expect_seen(6);
    EXPECT_THAT(seen_.breaks, IsEmpty());
    run_for(800ms);  // It is told when the end of the log is looked at.
    EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("foreign_history"));
}

TEST_F(LiveFeed, ARefusedSubscriptionIsToldAndTriedAgain) {
    server_.start();
    client_ = std::make_unique<RedisClient>(loop_, redis());
    client_->call({"ACL", "SETUSER", "default", "resetchannels", "&elsewhere"});
    std::vector<std::string> states;
    RedisFeed feed(loop_, redis(), "ch", seen_, metrics_,
                   [&](const Result<void>& state) { states.push_back(state ? "live" : state.error().detail); });

    feed.start();
    run_until([&] { return !states.empty(); });
    EXPECT_NE(states.back().find("SUBSCRIBE ch"), std::string::npos) << states.back();
    client_->call({"ACL", "SETUSER", "default", "allchannels"});

    run_until([&] { return feed.is_live(); });
    EXPECT_EQ(states.back(), "live");
}

TEST_F(LiveFeed, AQuietFeedKeepsItsConnections) {
    bring_up();
    RedisOptions eager = redis();
    eager.ping_interval = 20ms;
    RedisFeed feed(loop_, eager, "ch", seen_, metrics_, [](const Result<void>&) {});
    feed.start();
    run_until([&] { return feed.is_live(); });

    run_for(300ms);

    EXPECT_TRUE(feed.is_live());
    EXPECT_EQ(feed.reconnects(), 0U);
}

TEST_F(LiveFeed, MessagesThatAreNoEventsAreCounted) {
    bring_up();

    client_->call({"PUBLISH", "ch", "no event"});
    client_->call({"PUBLISH", "ch", R"({"id":"i","board":"b","action":"foreign"})"});
    run_until([this] { return !seen_.actions.empty(); });

    EXPECT_THAT(seen_.actions, ElementsAre("foreign"));
    EXPECT_NE(metrics_.expose().find("advanced_unreadable_events_total 1"), std::string::npos);
}

}  // namespace
}  // namespace boardbus::transport

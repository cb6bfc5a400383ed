// Three Sentinels, a master and two replicas, all of the test's own: what a failover under load loses, and what readers are told.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/redis_live.h"

namespace boardbus::transport {
namespace {

using board::HistoryBreak;
using testing::ElementsAreArray;
using testing::SizeIs;

class LiveSentinels : public LiveRedis {
  protected:
    void SetUp() override {
        LiveRedis::SetUp();
        reply_timeout_ = 500ms;
        if (IsSkipped()) {
            return;
        }
        const std::vector<std::string> common{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"};
        nodes_[0].start(common);
        std::vector<std::string> replica = common;
        replica.insert(replica.end(), {"--replicaof", "127.0.0.1 " + std::to_string(nodes_[0].port())});
        nodes_[1].start(replica);
        nodes_[2].start(replica);
        // A Sentinel that has met a master without replicas asks it again only ten seconds later.
        RedisClient master(loop_, plain(nodes_[0]));
        run_until([&] { return master.call({"INFO", "replication"}).contains("connected_slaves:2"); }, 30s);
        for (RedisServer& sentinel : sentinels_) {
            sentinel.start_sentinel(nodes_[0].port());
        }
        RedisClient asker(loop_, plain(sentinels_[2]));
        run_until(
            [&] {
                const std::string about = asker.call({"INFO", "sentinel"});
                return about.find("status=ok") != about.npos && about.find("slaves=2,sentinels=3") != about.npos;
            },
            30s);
    }

    RedisOptions plain(const RedisServer& server) const {
        RedisOptions options = redis();
        options.url.endpoint.port = server.port();
        return options;
    }

    RedisOptions by_sentinels() const {
        RedisOptions options = redis();
        for (const RedisServer& sentinel : sentinels_) {
            options.url.sentinels.push_back({.host = "127.0.0.1", .port = sentinel.port()});
        }
        options.url.master = "main";
        options.reconnect_max = 200ms;
        return options;
    }

    void connect(std::int64_t wait_replicas) {
        RedisBusOptions careful = bus_options();
        careful.redis = by_sentinels();
        careful.wait_replicas = wait_replicas;
        careful.wait_timeout = 200ms;
        bus_ = std::make_unique<RedisBus>(loop_, careful, [](const Result<void>&) {});
        feed_ = std::make_unique<RedisFeed>(loop_, by_sentinels(), "ch", seen_, metrics_, [](const Result<void>&) {});
        bus_->start();
        feed_->start();
        run_until([&] { return bus_->is_up() && feed_->is_live(); }, 20s);
    }

    std::array<RedisServer, 3> nodes_;
    std::array<RedisServer, 3> sentinels_;
};

TEST_F(LiveSentinels, AKilledMasterLosesNothingThatAReplicaHad) {
    connect(1);
    commit_surely(0, 100);
    sentinels_[0].kill();  // The first one that would be asked.

    for (int at = 100; at < 1100; at += 20) {
        if (at == 500) {
            nodes_[0].kill();
        }
        commit_surely(at, at + 20);
    }

    run_until([this] { return !seen_.actions.empty() && seen_.actions.back() == "k1099"; }, 20s);
    EXPECT_THAT(seen_.first_actions(), ElementsAreArray(names(0, 1100)));
    EXPECT_GE(bus_->reconnects(), 1U);
    std::vector<std::string> kept;
    for (const auto& event : page_after(100).events) {
        kept.push_back(event.action);
    }
    EXPECT_THAT(kept, ElementsAreArray(names(100, 1100)));
}

TEST_F(LiveSentinels, WhatOnlyTheLostMasterHadIsToldAsABreak) {
    connect(0);
    commit_surely(0, 50);
    run_until([this] { return seen_.actions.size() == 50; });
    run_for(300ms);

    // The replicas hear no more; the master goes on alone, and dies.
    nodes_[1].signal(SIGSTOP);
    nodes_[2].signal(SIGSTOP);
    RedisClient(loop_, plain(nodes_[0])).call({"CLIENT", "KILL", "TYPE", "replica"});
    commit_surely(50, 60);
    run_until([this] { return seen_.actions.size() == 60; });
    nodes_[0].kill();
    nodes_[1].signal(SIGCONT);
    nodes_[2].signal(SIGCONT);
    commit_surely(60, 70);
    run_until([this] { return seen_.actions.size() >= 70; }, 20s);

    EXPECT_THAT(seen_.actions, ElementsAreArray(names(0, 70)));
    ASSERT_THAT(seen_.breaks, SizeIs(1));
    EXPECT_EQ(seen_.breaks[0].kind, HistoryBreak::Kind::replaced);
    EXPECT_EQ(seen_.breaks[0].last_pos, 50U);
    EXPECT_EQ(seen_.breaks[0].epoch, seen_.views[0].position->epoch);
}

TEST_F(LiveSentinels, AMasterThatThawsAfterAFailoverIsLeft) {
    // Such impatient Sentinels may fail over more than once: never back to this one.
    ASSERT_EQ(RedisClient(loop_, plain(nodes_[0])).call({"CONFIG", "SET", "replica-priority", "0"}), "OK");
    connect(1);
    commit_surely(0, 50);

    nodes_[0].signal(SIGSTOP);
    commit_surely(50, 60);
    nodes_[0].signal(SIGCONT);
    for (int at = 60; at < 200; at += 20) {
        commit_surely(at, at + 20);
        run_for(50ms);
    }

    run_until([this] { return !seen_.actions.empty() && seen_.actions.back() == "k199"; }, 20s);
    EXPECT_THAT(seen_.first_actions(), ElementsAreArray(names(0, 200)));
    const std::string about = RedisClient(loop_, by_sentinels()).call({"INFO", "server"});
    EXPECT_EQ(about.find("tcp_port:" + std::to_string(nodes_[0].port())), std::string::npos);
    EXPECT_THAT(page_after(0).events, SizeIs(200));
}

TEST_F(LiveSentinels, ASentinelThatNamesADeadMasterIsNotAskedForEver) {
    RedisServer dead;
    dead.start({});
    RedisServer stale;
    stale.start_sentinel(dead.port());
    RedisClient asker(loop_, plain(stale));
    run_until([&] { return asker.call({"INFO", "sentinel"}).find("status=ok") != std::string::npos; }, 20s);
    dead.kill();
    RedisOptions options = by_sentinels();
    options.url.sentinels.insert(options.url.sentinels.begin(), {.host = "127.0.0.1", .port = stale.port()});

    const std::string about = RedisClient(loop_, options).call({"INFO", "server"});

    EXPECT_NE(about.find("tcp_port:" + std::to_string(nodes_[0].port())), std::string::npos) << about;
}

TEST_F(LiveSentinels, AMasterThatGivesNoHintIsLeftWhenTheSentinelsNameAnother) {
    RedisServer cut_off;
    cut_off.start({});
    RedisServer sentinel;
    sentinel.start_sentinel(cut_off.port());
    RedisOptions options = redis();
    options.url.master = "main";
    options.url.sentinels.push_back({.host = "127.0.0.1", .port = sentinel.port()});
    RedisClient asker(loop_, plain(sentinel));
    RedisClient client(loop_, options);
    run_until([&] { return client.call({"INFO", "server"}).contains("tcp_port:" + std::to_string(cut_off.port())); },
              20s);

    EXPECT_EQ(asker.call({"SENTINEL", "REMOVE", "main"}), "OK");
    EXPECT_EQ(asker.call({"SENTINEL", "MONITOR", "main", "127.0.0.1", std::to_string(nodes_[0].port()), "1"}), "OK");

    run_until([&] { return client.call({"INFO", "server"}).contains("tcp_port:" + std::to_string(nodes_[0].port())); },
              10s);
}

TEST_F(LiveSentinels, AnUnknownMasterAndNoSentinelSayWhy) {
    RedisOptions options = by_sentinels();
    options.url.master = "nobody";
    std::string why;
    RedisBus bus(loop_, {.redis = options}, [&](const Result<void>& up) { why = up ? "up" : up.error().detail; });

    bus.start();
    run_until([&] { return !why.empty(); });

    EXPECT_NE(why.find("knows no master named nobody"), std::string::npos) << why;
    for (RedisServer& sentinel : sentinels_) {
        sentinel.kill();
    }
    run_until([&] { return why.find("Connection refused") != std::string::npos; });
}

}  // namespace
}  // namespace boardbus::transport

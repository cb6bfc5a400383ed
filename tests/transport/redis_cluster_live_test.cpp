// A cluster of three masters and three replicas, all of the test's own: what failovers and moving slots lose, and what readers are told.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/redis_cluster.h"
#include "transport/redis_live.h"

namespace boardbus::transport {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LiveCluster : public LiveRedis {
  protected:
    void SetUp() override {
        LiveRedis::SetUp();
        reply_timeout_ = 500ms;
        if (IsSkipped()) {
            return;
        }
        if (!find_program("redis-cli")) {
            GTEST_SKIP() << "SKIPPED: no redis-cli in PATH";
        }
        std::vector<std::string> create{*find_program("redis-cli"), "--cluster", "create"};
        for (RedisServer& node : nodes_) {
            node.start_cluster_node();
            create.push_back("127.0.0.1:" + std::to_string(node.port()));
        }
        create.insert(create.end(), {"--cluster-replicas", "1", "--cluster-yes"});
        for (RedisServer& node : nodes_) {
            run_until([&] { return call(node, {"PING"}) == "PONG"; }, 20s);
        }
        int status = -1;
        ASSERT_GT(::waitpid(spawn(create), &status, 0), 0);
        ASSERT_EQ(status, 0);
        run_until([&] { return all_agree(); }, 30s);
    }

    std::string call(const RedisServer& node, std::initializer_list<std::string_view> words) {
        RedisOptions options = redis();
        options.url.endpoint.port = node.port();
        return RedisClient(loop_, options).call(words);
    }

    bool all_agree() {
        return std::ranges::all_of(nodes_, [&](const RedisServer& node) {
            const std::string info = call(node, {"INFO", "replication"});
            const bool in_sync =
                info.contains("role:master") ? info.contains("state=online") : info.contains("master_link_status:up");
            return in_sync && call(node, {"CLUSTER", "INFO"}).contains("cluster_state:ok");
        });
    }

    RedisOptions by_cluster() const {
        RedisOptions options = redis();
        for (const RedisServer& node : nodes_) {
            options.url.cluster.push_back({.host = "127.0.0.1", .port = node.port()});
        }
        options.hash_tag = "ch";
        options.reconnect_max = 200ms;
        return options;
    }

    void connect(std::int64_t wait_replicas) {
        RedisBusOptions careful = bus_options();
        careful.redis = by_cluster();
        careful.wait_replicas = wait_replicas;
        careful.wait_timeout = 200ms;
        bus_ = std::make_unique<RedisBus>(loop_, careful, [](const Result<void>&) {});
        feed_ = std::make_unique<RedisFeed>(loop_, by_cluster(), "ch", seen_, metrics_, [](const Result<void>&) {});
        bus_->start();
        feed_->start();
        run_until([&] { return bus_->is_up() && feed_->is_live(); }, 20s);
    }

    /// The node that serves our keys (`of_ours`), or another master.
    RedisServer& master(bool of_ours) {
        const std::string id = call(nodes_[0], {"CLUSTER", "NODES"});
        for (RedisServer& node : nodes_) {
            const bool is_master = call(node, {"INFO", "replication"}).contains("role:master");
            const bool serves = is_master && !call(node, {"EXISTS", "x{ch}"}).starts_with("MOVED");
            if (is_master && serves == of_ours) {
                return node;
            }
        }
        ADD_FAILURE() << "no such master: " << id;
        return nodes_[0];
    }
    RedisServer& replica_of_ours() {
        const std::string ours = std::to_string(master(true).port());
        for (RedisServer& node : nodes_) {
            if (call(node, {"INFO", "replication"}).contains("master_port:" + ours)) {
                return node;
            }
        }
        ADD_FAILURE() << "no replica of " << ours;
        return nodes_[0];
    }

    void expect_all(int count) {
        const std::string last = "k" + std::to_string(count - 1);
        run_until([&] { return !seen_.actions.empty() && seen_.actions.back() == last; }, 20s);
        EXPECT_THAT(seen_.first_actions(), ElementsAreArray(names(0, count)));
    }

    std::array<RedisServer, 6> nodes_;
};

TEST_F(LiveCluster, KeysOfABatchAreInOneSlotAndItsEventsReachTheReaders) {
    connect(1);

    commit_surely(0, 100);
    EXPECT_EQ(commit({request("k5"), request("k5", "bbbbbbbbbbbbbbbb")}),
              (std::vector{Status::duplicate, Status::conflict}));
    EXPECT_FALSE(probe());

    run_until([&] { return seen_.actions.size() == 101; });
    EXPECT_THAT(page_after(0).events, SizeIs(101));
    const RedisServer& ours = master(true);
    EXPECT_EQ(call(ours, {"EXISTS", "p:{ch}:k5", "ch:{ch}:log", "ch:{ch}:state", "ch:{ch}:board:b"}), "4");
    EXPECT_EQ(call(ours, {"CLUSTER", "KEYSLOT", "ch:{ch}:log"}), std::to_string(slot_of("ch:{ch}:log")));
    std::optional<std::int64_t> count;
    bus_->count_attempt("m", [&](Result<std::int64_t> answer) { count = answer.value_or(-1); });
    run_until([&] { return count.has_value(); });
    EXPECT_EQ(*count, 1);
}

TEST_F(LiveCluster, AKilledMasterLosesNothingThatItsReplicaHad) {
    connect(1);
    commit_surely(0, 100);

    for (int at = 100; at < 600; at += 20) {
        if (at == 300) {
            master(true).kill();
            // With one replica per master, nobody is left to wait for.
            RedisBusOptions alone = bus_options();
            alone.redis = by_cluster();
            bus_ = std::make_unique<RedisBus>(loop_, alone, [](const Result<void>&) {});
            bus_->start();
        }
        commit_surely(at, at + 20);
    }

    expect_all(600);
    EXPECT_THAT(seen_.breaks, IsEmpty());
    EXPECT_THAT(page_after(0).events, SizeIs(600));
}

TEST_F(LiveCluster, AManualFailoverUnderLoadLosesNothing) {
    connect(0);

    for (int at = 0; at < 1000; at += 20) {
        if (at == 300) {
            EXPECT_EQ(call(replica_of_ours(), {"CLUSTER", "FAILOVER"}), "OK");
        }
        commit_surely(at, at + 20);
        run_for(5ms);
    }

    expect_all(1000);
    EXPECT_GE(bus_->reconnects(), 1U);
    EXPECT_THAT(seen_.actions, SizeIs(1000));
    EXPECT_THAT(seen_.breaks, IsEmpty());
}

TEST_F(LiveCluster, ASlotThatMovesUnderLoadIsFollowed) {
    connect(0);
    commit_surely(0, 100);
    run_until([&] { return seen_.actions.size() == 100; });
    const std::string slot = std::to_string(slot_of("{ch}"));
    RedisServer& from = master(true);
    RedisServer& to = master(false);
    const std::string from_id = call(from, {"CLUSTER", "MYID"});
    const std::string to_id = call(to, {"CLUSTER", "MYID"});
    const std::string to_port = std::to_string(to.port());

    ASSERT_EQ(call(to, {"CLUSTER", "SETSLOT", slot, "IMPORTING", from_id}), "OK");
    ASSERT_EQ(call(from, {"CLUSTER", "SETSLOT", slot, "MIGRATING", to_id}), "OK");
    // Half way nothing can be committed, and nothing is anybody's fault.
    EXPECT_EQ(commit({request("k100")}), std::vector{Status::unavailable});
    EXPECT_THAT(details_, HasSubstr("TRYAGAIN"));
    for (const char* key : {"ch:{ch}:log", "ch:{ch}:state"}) {
        ASSERT_EQ(call(from, {"MIGRATE", "127.0.0.1", to_port, key, "0", "5000"}), "OK");
    }
    EXPECT_EQ(commit({request("k100"), request("k5")}), (std::vector{Status::unavailable, Status::unavailable}));
    while (call(from, {"CLUSTER", "COUNTKEYSINSLOT", slot}) != "0") {
        for (int i = 0; i < 100; ++i) {
            call(from, {"MIGRATE", "127.0.0.1", to_port, "p:{ch}:k" + std::to_string(i), "0", "5000"});
        }
        call(from, {"MIGRATE", "127.0.0.1", to_port, "ch:{ch}:boards", "0", "5000"});
        call(from, {"MIGRATE", "127.0.0.1", to_port, "ch:{ch}:board:b", "0", "5000"});
        call(from, {"MIGRATE", "127.0.0.1", to_port, "p:{ch}:", "0", "5000"});
    }
    EXPECT_EQ(commit({request("k100")}), std::vector{Status::unavailable});
    EXPECT_THAT(details_, HasSubstr("ASK"));
    for (RedisServer* node : {&to, &from}) {
        ASSERT_EQ(call(*node, {"CLUSTER", "SETSLOT", slot, "NODE", to_id}), "OK");
    }
    commit_surely(100, 200);

    expect_all(200);
    EXPECT_THAT(seen_.actions, SizeIs(200));
    EXPECT_THAT(seen_.breaks, IsEmpty());
    EXPECT_EQ(call(to, {"EXISTS", "p:{ch}:k150"}), "1");
}

TEST_F(LiveCluster, WhatOnlyTheLostMasterHadIsToldAsABreak) {
    connect(0);
    commit_surely(0, 50);
    run_until([this] { return seen_.actions.size() == 50; });
    RedisServer& ours = master(true);
    const RedisServer& replica = replica_of_ours();
    run_until([&] { return call(replica, {"DBSIZE"}) == call(ours, {"DBSIZE"}); });

    // The replica hears no more; the master goes on alone, and dies.
    replica.signal(SIGSTOP);
    call(ours, {"CLIENT", "KILL", "TYPE", "replica"});
    commit_surely(50, 60);
    run_until([this] { return seen_.actions.size() == 60; });
    ours.kill();
    replica.signal(SIGCONT);
    commit_surely(60, 70);
    run_until([this] { return seen_.actions.size() >= 70; }, 20s);

    EXPECT_THAT(seen_.actions, ElementsAreArray(names(0, 70)));
    ASSERT_THAT(seen_.breaks, SizeIs(1));
    EXPECT_EQ(seen_.breaks[0].kind, board::HistoryBreak::Kind::replaced);
    EXPECT_EQ(seen_.breaks[0].last_pos, 50U);
}

TEST_F(LiveCluster, ASeedThatIsNoClusterAndOnesThatAreGoneSayWhy) {
    server_.start();
    RedisOptions options = by_cluster();
    options.url.cluster = {{.host = "127.0.0.1", .port = server_.port()}};
    std::string why;
    RedisBus bus(loop_, {.redis = options}, [&](const Result<void>& up) { why = up ? "up" : up.error().detail; });

    bus.start();
    run_until([&] { return why.contains("cluster support disabled"); });
    EXPECT_THAT(why, HasSubstr("cluster node 127.0.0.1:"));
    server_.kill();
    run_until([&] { return why.contains("Connection refused"); });
}

TEST_F(LiveCluster, AUrlOfASingleServerIsAnOutageAndChargesNobody) {
    RedisBusOptions plain = bus_options();
    plain.redis.url.endpoint.port = nodes_[0].port();
    bus_ = std::make_unique<RedisBus>(loop_, plain, [](const Result<void>&) {});
    bus_->start();
    run_until([&] { return bus_->is_up(); });

    EXPECT_EQ(commit({request("k")}), std::vector{Status::unavailable});
    EXPECT_TRUE(probe());
}

}  // namespace
}  // namespace boardbus::transport

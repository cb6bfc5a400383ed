// RedisBus against a real redis-server.
// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_live.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace boardbus::transport {
namespace {

using board::CommitRequest;
using testing::ElementsAre;

TEST_F(LiveRedis, FreshIsPublishedOnceAndThenADuplicate) {
    bring_up();

    EXPECT_THAT(commit({request("k1"), request("k2"), request("k1")}),
                ElementsAre(Status::fresh, Status::fresh, Status::duplicate));
    EXPECT_THAT(commit({request("k2")}), ElementsAre(Status::duplicate));
    EXPECT_TRUE(details_.ends_with(".2.2\n")) << details_;

    run_until([this] { return seen_.actions.size() == 2; });
    EXPECT_THAT(seen_.actions, ElementsAre("k1", "k2"));
    const std::string epoch = seen_.views.at(0).position->epoch;
    EXPECT_EQ(client_->call({"GET", "p:k1"}), "aaaaaaaaaaaaaaaa id-k1 " + epoch + ".1.1");
}

TEST_F(LiveRedis, MarksLiveForTheirTtlAndDuplicatesRenewIt) {
    bring_up();
    commit({request("k")});
    EXPECT_EQ(client_->call({"TTL", "p:k"}), "100");

    client_->call({"EXPIRE", "p:k", "5"});
    commit({request("k")});

    EXPECT_EQ(client_->call({"TTL", "p:k"}), "100");
}

TEST_F(LiveRedis, SameKeyWithAnotherTextIsAConflictAndPublishedOnce) {
    bring_up();
    commit({request("k")});

    EXPECT_THAT(commit({request("k", "bbbbbbbbbbbbbbbb"), request("k", "bbbbbbbbbbbbbbbb")}),
                ElementsAre(Status::conflict, Status::duplicate));

    run_until([this] { return seen_.actions.size() == 2; });
    EXPECT_EQ(client_->call({"TTL", "p:k:bbbbbbbbbbbbbbbb"}), "100");
}

TEST_F(LiveRedis, AKeyThatLooksLikeAConflictsDoesNotHideAnEvent) {
    bring_up();
    commit({request("k:cccccccccccccccc", "aaaaaaaaaaaaaaaa"), request("k", "bbbbbbbbbbbbbbbb")});

    EXPECT_THAT(commit({request("k", "cccccccccccccccc"), request("k", "cccccccccccccccc")}),
                ElementsAre(Status::conflict, Status::duplicate));
}

TEST_F(LiveRedis, MarkOfAnotherImplementationIsADuplicate) {
    bring_up();
    client_->call({"SET", "p:k", "1"});
    client_->call({"SET", "p:l", "7f1e4a06-9a4e-4bb0-8f5e-0f8f8f8f8f8f"});

    EXPECT_THAT(commit({request("k"), request("l")}), ElementsAre(Status::duplicate, Status::duplicate));
    EXPECT_TRUE(seen_.actions.empty());
}

TEST_F(LiveRedis, KeyOfAnotherTypeFailsAloneAndSaysWhy) {
    bring_up();
    client_->call({"LPUSH", "p:k", "x"});

    EXPECT_THAT(commit({request("a"), request("k"), request("b")}),
                ElementsAre(Status::fresh, Status::failed, Status::fresh));
    EXPECT_NE(details_.find("WRONGTYPE"), std::string::npos) << details_;
}

TEST_F(LiveRedis, ForgottenScriptIsLoadedAgainWithoutAHole) {
    bring_up();
    commit({request("a")});

    client_->call({"SCRIPT", "FLUSH"});
    EXPECT_THAT(commit({request("b"), request("c"), request("d")}),
                ElementsAre(Status::fresh, Status::fresh, Status::fresh));

    run_until([this] { return seen_.actions.size() == 4; });
    EXPECT_THAT(seen_.actions, ElementsAre("a", "b", "c", "d"));
}

TEST_F(LiveRedis, FlushBetweenBatchesUnderWayKeepsTheirOrder) {
    bring_up();
    commit({request("a")});
    int batches = 0;

    // The last two are under way together when they learn that the script is gone.
    bus_->commit({request("b")}, [&](const auto&) { ++batches; });
    loop_.turn(0ms);
    client_->call({"SCRIPT", "FLUSH"});
    bus_->commit({request("c"), request("d")}, [&](const auto&) { ++batches; });
    bus_->commit({request("e")}, [&](const auto&) { ++batches; });
    run_until([&] { return batches == 3 && seen_.actions.size() == 5; });

    EXPECT_THAT(seen_.actions, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(LiveRedis, FullMemoryIsUnavailableAndHasNoEffect) {
    bring_up();
    client_->call({"CONFIG", "SET", "maxmemory", "1"});

    EXPECT_THAT(commit({request("a"), request("b")}), ElementsAre(Status::unavailable, Status::unavailable));
    EXPECT_NE(details_.find("OOM"), std::string::npos) << details_;
    EXPECT_EQ(probe().value_or(Error{}).code, Errc::unavailable);
    EXPECT_EQ(client_->call({"EXISTS", "p:a", "p:b"}), "0");
    EXPECT_TRUE(seen_.actions.empty());

    client_->call({"CONFIG", "SET", "maxmemory", "0"});
    EXPECT_THAT(commit({request("a"), request("b")}), ElementsAre(Status::fresh, Status::fresh));
    EXPECT_FALSE(probe());
}

TEST_F(LiveRedis, TooFewReplicasIsUnavailable) {
    bring_up();
    client_->call({"CONFIG", "SET", "min-replicas-to-write", "1"});

    EXPECT_THAT(commit({request("a")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("NOREPLICAS"), std::string::npos) << details_;
    EXPECT_EQ(client_->call({"EXISTS", "p:a"}), "0");
}

TEST_F(LiveRedis, ReplicaIsUnavailableAndLeft) {
    bring_up();
    client_->call({"REPLICAOF", "127.0.0.1", "1"});
    client_->call({"CONFIG", "SET", "replica-serve-stale-data", "yes"});

    EXPECT_THAT(commit({request("a")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("READONLY"), std::string::npos) << details_;
    run_until([this] { return bus_->reconnects() == 1; });
}

TEST_F(LiveRedis, RefusedPublishLeavesNoClaim) {
    bring_up();
    client_->call({"ACL", "SETUSER", "default", "resetchannels", "&elsewhere"});

    EXPECT_THAT(commit({request("a")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("publish"), std::string::npos) << details_;
    EXPECT_EQ(client_->call({"EXISTS", "p:a", "ch:log", "ch:state"}), "0");
    EXPECT_EQ(probe().value_or(Error{}).code, Errc::unavailable);
}

TEST_F(LiveRedis, TheProbeFindsWhatACommitMayNotDo) {
    bring_up();
    EXPECT_FALSE(probe());

    client_->call({"ACL", "SETUSER", "default", "-xtrim"});
    EXPECT_NE(probe().value_or(Error{}).detail.find("may not XTRIM"), std::string::npos);

    client_->call({"ACL", "SETUSER", "default", "+xtrim", "-sadd"});
    EXPECT_NE(probe().value_or(Error{}).detail.find("may not SADD"), std::string::npos) << "it counts crashes";
}

TEST_F(LiveRedis, KilledServerIsUnavailableAndComesBack) {
    bring_up();
    commit({request("a")});
    run_until([this] { return seen_.actions.size() == 1; });

    server_.kill();
    EXPECT_THAT(commit({request("b")}), ElementsAre(Status::unavailable));
    run_until([this] { return !bus_->is_up() && !feed_->is_live(); });
    EXPECT_EQ(probe().value_or(Error{}).code, Errc::unavailable);
    server_.start();
    run_until([this] { return bus_->is_up() && feed_->is_live(); });

    EXPECT_EQ(bus_->reconnects(), 1U);
    EXPECT_THAT(commit({request("b")}), ElementsAre(Status::fresh));
    run_until([this] { return seen_.actions.size() == 2; });
}

TEST_F(LiveRedis, StoppedServerRunsIntoTheDeadline) {
    reply_timeout_ = 500ms;
    bring_up();
    server_.signal(SIGSTOP);

    EXPECT_THAT(commit({request("a")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("no reply within 500 ms"), std::string::npos) << details_;
    server_.signal(SIGCONT);
    run_until([this] { return bus_->is_up(); });

    // What was sent before the deadline happened all the same; sending it again is safe.
    EXPECT_THAT(commit({request("a")}), ElementsAre(Status::duplicate));
}

class LiveRedisAttempts : public LiveRedis {
  protected:
    std::int64_t count(RedisBus& bus) {
        std::optional<std::int64_t> counted;
        bus.count_attempt("m1", [&](Result<std::int64_t> count) { counted = count.value_or(-1); });
        run_until([&] { return counted.has_value(); });
        return *counted;
    }
    void run_until_up() {
        run_until([this] { return bus_->is_up(); });
    }
    std::unique_ptr<RedisBus> another_worker() {
        auto bus = std::make_unique<RedisBus>(loop_, bus_options(), [](const Result<void>&) {});
        bus->start();
        run_until([&] { return bus->is_up(); });
        return bus;
    }
    bool gone() { return client_->call({"EXISTS", "advanced:attempts:m1"}) == "0"; }
};

TEST_F(LiveRedisAttempts, AreCountedOncePerWorker) {
    bring_up();
    const auto second = another_worker();
    const auto third = another_worker();

    EXPECT_EQ(count(*bus_), 1);
    EXPECT_EQ(count(*bus_), 1) << "it is alive";
    EXPECT_EQ(count(*second), 2);
    EXPECT_EQ(count(*third), 3);
    EXPECT_EQ(client_->call({"TTL", "advanced:attempts:m1"}), "3600");

    bus_->forget_attempts("m1");
    run_until([&] { return gone(); });
}

TEST_F(LiveRedisAttempts, OfOthersStayWhenOneTakesItsOwnBack) {
    bring_up();
    const auto dead = another_worker();
    count(*dead);
    EXPECT_EQ(count(*bus_), 2);

    bus_->take_back_attempt("m1");

    EXPECT_EQ(count(*another_worker()), 2) << "the dead one and this one";
}

TEST_F(LiveRedisAttempts, WhoseAnswersWereLostChargeNothingMore) {
    reply_timeout_ = 500ms;
    bring_up();

    for (int i = 0; i < 3; ++i) {
        server_.signal(SIGSTOP);
        EXPECT_EQ(count(*bus_), -1);
        server_.signal(SIGCONT);  // Now it is counted, and nobody hears of it.
        run_until_up();
    }

    EXPECT_EQ(count(*bus_), 1);
}

TEST_F(LiveRedisAttempts, AreForgottenWhenRedisIsBack) {
    reply_timeout_ = 500ms;
    bring_up();
    const auto dead = another_worker();
    count(*dead);
    EXPECT_EQ(count(*bus_), 2);

    server_.signal(SIGSTOP);
    ASSERT_TRUE(probe());
    ASSERT_FALSE(bus_->is_up());
    bus_->take_back_attempt("m1");
    server_.signal(SIGCONT);
    run_until_up();

    EXPECT_EQ(count(*another_worker()), 2) << "the dead one and this one";
}

TEST_F(LiveRedisAttempts, WhoseAnswerWasLostAreForgottenUnlessCountedAgain) {
    reply_timeout_ = 500ms;
    bring_up();

    server_.signal(SIGSTOP);
    EXPECT_EQ(count(*bus_), -1);
    server_.signal(SIGCONT);
    run_until_up();

    run_until([&] { return gone(); });
}

TEST_F(LiveRedisAttempts, OfAnOlderVersionBeginAnew) {
    bring_up();
    client_->call({"SET", "advanced:attempts:m1", "2"});

    EXPECT_EQ(count(*bus_), 1);
}

TEST_F(LiveRedis, LargeEventsAndLargeBatchesPass) {
    bring_up();
    std::vector<CommitRequest> batch;
    for (int i = 0; i < 300; ++i) {
        batch.push_back(request("k" + std::to_string(i)));
    }
    batch.push_back(request("big"));
    batch.back().activity.insert(1, "\"payload\":\"" + std::string(4 << 20, 'z') + "\",");

    const auto statuses = commit(std::move(batch));

    EXPECT_THAT(statuses, testing::Each(Status::fresh));
    run_until([this] { return seen_.actions.size() == 301; });
    EXPECT_GT(seen_.views.back().json.size(), std::size_t{4} << 20);
    EXPECT_EQ(seen_.actions[299], "k299");
}

TEST_F(LiveRedis, UserAndPasswordAreNeeded) {
    server_.start();
    RedisClient admin(loop_, redis());
    EXPECT_EQ(admin.call({"ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all"}), "OK");
    std::vector<std::string> reasons;
    RedisBusOptions options{.redis = redis()};
    options.redis.url.user = "me";
    options.redis.url.password = "wrong";

    RedisBus refused(loop_, options, [&](Result<void> state) { reasons.push_back(state ? "" : state.error().detail); });
    refused.start();
    run_until([&] { return !reasons.empty(); });
    EXPECT_NE(reasons[0].find("WRONGPASS"), std::string::npos) << reasons[0];

    options.redis.url.password = "pw";
    options.redis.url.db = 3;
    RedisBus accepted(loop_, options, [](const Result<void>&) {});
    accepted.start();
    run_until([&] { return accepted.is_up(); });
}

/// A server with TLS only, its certificate (for the name `localhost`) from an authority of the test's own.
class LiveRedisTls : public LiveRedis {
  protected:
    void SetUp() override {
        LiveRedis::SetUp();
        if (IsSkipped()) {
            return;
        }
        if (!find_program("openssl")) {
            GTEST_SKIP() << "SKIPPED: no openssl in PATH";
        }
        const std::string folder = server_.folder();
        const std::string script = "cd " + folder +
                                   " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
                                   "ca.key -out ca.pem -days 2 -subj /CN=ca 2>/dev/null"
                                   " && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout s.key "
                                   "-out s.csr -subj /CN=s 2>/dev/null"
                                   " && printf 'subjectAltName=DNS:localhost' > ext"
                                   " && openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                                   "-extfile ext -out s.pem 2>/dev/null";
        ASSERT_EQ(std::system(script.c_str()), 0);
        server_.start({"--port", "0", "--tls-port", std::to_string(server_.port()), "--tls-cert-file",
                       folder + "/s.pem", "--tls-key-file", folder + "/s.key", "--tls-ca-cert-file",
                       folder + "/ca.pem"});
    }

    RedisOptions tls(const std::string& host, const std::string& ca) const {
        RedisOptions options = redis();
        options.url.endpoint.host = host;
        options.url.endpoint.tls = true;
        options.tls.ca_file = ca.empty() ? "" : server_.folder() + "/" + ca;
        options.tls.cert_file = server_.folder() + "/s.pem";
        options.tls.key_file = server_.folder() + "/s.key";
        return options;
    }

    /// Waits for an outcome other than "not listening yet": "" is up.
    std::string outcome(const RedisOptions& options) {
        std::optional<std::string> reason;
        RedisBus bus(loop_, {.redis = options}, [&](Result<void> state) {
            if (state || state.error().code == Errc::refused) {
                reason = state ? "" : state.error().detail;
            }
        });
        bus.start();
        run_until([&] { return reason.has_value(); });
        return reason.value_or("none");
    }
};

TEST_F(LiveRedisTls, RightAuthorityAndNameAreAccepted) {
    EXPECT_EQ(outcome(tls("localhost", "ca.pem")), "");
}

TEST_F(LiveRedisTls, WrongNameIsRefused) {
    // The certificate names localhost, not the address.
    const std::string reason = outcome(tls("127.0.0.1", "ca.pem"));

    EXPECT_NE(reason.find("mismatch"), std::string::npos) << reason;
}

TEST_F(LiveRedisTls, UnknownAuthorityIsRefused) {
    const std::string reason = outcome(tls("localhost", ""));

    EXPECT_NE(reason.find("certificate"), std::string::npos) << reason;
}

TEST_F(LiveRedisTls, MissingClientCertificateIsRefusedWithItsReason) {
    RedisOptions options = tls("localhost", "ca.pem");
    options.tls.cert_file.clear();

    const std::string reason = outcome(options);

    EXPECT_NE(reason.find("certificate required"), std::string::npos) << reason;
}

TEST_F(LiveRedisTls, CarriesEventsBothWays) {
    RedisOptions options = tls("localhost", "ca.pem");
    RedisBus bus(loop_, {.redis = options, .channel = "ch"}, [](const Result<void>&) {});
    RedisFeed feed(loop_, options, "ch", seen_, metrics_, [](const Result<void>&) {});
    bus.start();
    feed.start();
    run_until([&] { return bus.is_up() && feed.is_live(); });
    std::vector<CommitRequest> batch{request("small"), request("big"), request("last")};
    batch[1].activity.insert(1, "\"payload\":\"" + std::string(3 << 20, 'z') + "\",");

    bus.commit(std::move(batch), [](const auto&) {});
    run_until([this] { return seen_.actions.size() == 3; });

    EXPECT_GT(seen_.views[1].json.size(), std::size_t{3} << 20);
    EXPECT_EQ(seen_.actions[2], "last");
}

}  // namespace
}  // namespace boardbus::transport

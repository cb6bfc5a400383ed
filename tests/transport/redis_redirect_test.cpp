// RedisConnection against scripted nodes of a cluster: how it finds the master of its slot, and what it does when sent elsewhere.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "transport/listener.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kQuestion = "*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
constexpr std::string_view kLogin = "*1\r\n$4\r\nROLE\r\n*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$8\r\nboardbus\r\n";
constexpr std::string_view kOk = "$16\r\ncluster_state:ok\r\n";
constexpr std::string_view kDown = "$18\r\ncluster_state:fail\r\n";
constexpr std::string_view kIsMaster = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+OK\r\n";
constexpr std::string_view kGet = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

class RedisRedirect : public testing::Test, protected RedisOwner {
  protected:
    RedisRedirect() {
        RedisOptions options;
        options.url.cluster = {first_.endpoint(), second_.endpoint()};
        options.hash_tag = "ch";
        options.reconnect_initial = 10ms;
        options.reconnect_max = 20ms;
        options.connect_timeout = 4s;
        connection_.emplace(loop_, static_cast<RedisOwner&>(*this), options);
    }
    void on_redis_up() override { ++ups_; }
    void on_redis_down(const Error& error) override { downs_.push_back(error.detail); }
    void on_redis_messages(const std::vector<RedisReply>&) override {}

    template <typename Condition>
    void run_until(Condition condition) {
        for (int turns = 0; turns < 500 && !condition(); ++turns) {
            loop_.turn(10ms);
        }
        EXPECT_TRUE(condition());
    }

    static std::string slots(const Listener& master) {
        return "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:" + std::to_string(master.endpoint().port) +
               "\r\n$2\r\nid\r\n";
    }

    /// Somebody connects to `listener`, says `expected` and gets `answer`.
    UniqueFd serve(const Listener& listener, std::string_view expected, std::string_view answer) {
        UniqueFd peer = listener.accept(loop_);
        exchange(peer, expected, answer);
        return peer;
    }
    void exchange(const UniqueFd& peer, std::string_view expected, std::string_view answer) {
        std::string heard;
        run_until([&] {
            char buffer[4096];
            const ssize_t count = ::recv(peer.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            heard.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
            return heard.size() >= expected.size();
        });
        EXPECT_EQ(heard, expected);
        EXPECT_EQ(::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    }

    /// Up at `second_`, which `first_` has named.
    UniqueFd come_up() {
        connection_->start();
        serve(first_, kQuestion, std::string(kOk) + slots(second_));
        UniqueFd master = serve(second_, kLogin, kIsMaster);
        run_until([this] { return ups_ == 1; });
        return master;
    }

    /// The text of the reply to a GET that the server answers so.
    std::string get(const UniqueFd& server, const std::string& answer) {
        std::optional<std::string> reply;
        connection_->send(RedisCommands().add({"GET", "k"}), [&](auto replies) {
            reply = replies ? std::string(text_of(*replies->front())) : replies.error().detail;
        });
        exchange(server, kGet, answer);
        run_until([&] { return reply.has_value(); });
        return reply.value_or("");
    }

    Loop loop_;
    Listener first_;
    Listener second_;
    std::optional<RedisConnection> connection_;
    int ups_ = 0;
    std::vector<std::string> downs_;
};

TEST_F(RedisRedirect, MovedIsToldToWhoAskedAndLeadsToTheNodeThatItNames) {
    const UniqueFd master = come_up();
    const Listener third;
    const std::string moved = "MOVED 1 127.0.0.1:" + std::to_string(third.endpoint().port);

    EXPECT_EQ(get(master, "-" + moved + "\r\n"), moved);

    ASSERT_EQ(downs_.size(), 1U);
    EXPECT_TRUE(downs_[0].contains("MOVED")) << downs_[0];
    serve(third, kQuestion, std::string(kOk) + slots(third));
    serve(third, kLogin, kIsMaster);
    run_until([this] { return ups_ == 2; });
}

TEST_F(RedisRedirect, AMovedThatNamesNoAddressEndsTheConnectionAllTheSame) {
    const UniqueFd master = come_up();

    EXPECT_EQ(get(master, "-MOVED nowhere\r\n"), "MOVED nowhere");

    EXPECT_EQ(downs_.size(), 1U);
    serve(first_, kQuestion, std::string(kOk) + slots(second_));
}

TEST_F(RedisRedirect, ASlotOnItsWayKeepsTheConnection) {
    const UniqueFd master = come_up();

    EXPECT_EQ(get(master, "-ASK 1 127.0.0.1:1\r\n"), "ASK 1 127.0.0.1:1");
    EXPECT_EQ(get(master, "-TRYAGAIN Multiple keys\r\n"), "TRYAGAIN Multiple keys");
    EXPECT_EQ(get(master, "$1\r\nv\r\n"), "v");

    EXPECT_TRUE(downs_.empty());
}

TEST_F(RedisRedirect, AMasterThatIsCutOffIsLeftForTheOneThatTheOthersName) {
    const UniqueFd master = come_up();

    EXPECT_EQ(get(master, "-CLUSTERDOWN The cluster is down\r\n"), "CLUSTERDOWN The cluster is down");
    serve(first_, kQuestion, std::string(kOk) + slots(first_));
    run_until([this] { return downs_.size() == 1; });

    EXPECT_TRUE(downs_[0].contains("the master is")) << downs_[0];
}

TEST_F(RedisRedirect, ANodeThatSaysTheClusterIsDownIsNotBelieved) {
    connection_->start();
    serve(first_, kQuestion, std::string(kDown) + slots(first_));
    serve(second_, kQuestion, std::string(kOk) + slots(second_));
    serve(second_, kLogin, kIsMaster);
    run_until([this] { return ups_ == 1; });
}

TEST_F(RedisRedirect, WhenNobodyHelpsTheLastReasonIsTold) {
    connection_->start();
    serve(first_, kQuestion, std::string(kDown) + slots(first_));
    serve(second_, kQuestion, "-NOPERM no\r\n-NOPERM no\r\n");
    run_until([this] { return !downs_.empty(); });

    EXPECT_TRUE(downs_[0].contains("NOPERM no")) << downs_[0];
}

TEST_F(RedisRedirect, ANamedMasterThatIsAReplicaIsNotUsed) {
    connection_->start();
    serve(first_, kQuestion, std::string(kOk) + slots(second_));
    serve(second_, kLogin, "*1\r\n$5\r\nslave\r\n+OK\r\n");
    run_until([this] { return !downs_.empty(); });

    EXPECT_TRUE(downs_[0].contains("not the master yet")) << downs_[0];
    EXPECT_EQ(ups_, 0);
}

}  // namespace
}  // namespace boardbus::transport

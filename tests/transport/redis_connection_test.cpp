// RedisConnection against a scripted server in the test itself.
// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_connection.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "transport/listener.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kSetName = "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$8\r\nboardbus\r\n";

class Owner final : public RedisOwner {
  public:
    void on_redis_up() override { ++ups; }
    void on_redis_down(const Error& error) override { downs.push_back(error); }
    void on_redis_messages(const std::vector<RedisReply>& messages) override { batches.push_back(messages.size()); }

    int ups = 0;
    std::vector<Error> downs;
    std::vector<std::size_t> batches;
};

class RedisConnectionTest : public testing::Test {
  protected:
    RedisOptions options() const {
        RedisOptions chosen;
        chosen.url.endpoint = listener_.endpoint();
        chosen.reconnect_initial = 10ms;
        chosen.reconnect_max = 20ms;
        chosen.reply_timeout = 50ms;
        chosen.ping_interval = 20ms;
        return chosen;
    }

    template <typename Condition>
    void run_until(Condition condition) {
        for (int turns = 0; turns < 500 && !condition(); ++turns) {
            loop_.turn(10ms);
        }
        EXPECT_TRUE(condition());
    }

    void say(std::string_view bytes) {
        EXPECT_EQ(::send(server_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    void expect(std::string_view bytes) {
        std::string heard;
        run_until([&] {
            char buffer[4096];
            const ssize_t count = ::recv(server_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            heard.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
            return heard.size() >= bytes.size();
        });
        EXPECT_EQ(heard, bytes);
    }

    /// Plays the server's part of a login without a password.
    void log_in() {
        server_ = listener_.accept(loop_);
        expect(kSetName);
        say("+OK\r\n");
    }

    void bring_up(RedisConnection& connection) {
        connection.start();
        log_in();
        run_until([&] { return connection.is_up(); });
    }

    RedisConnection::OnReplies record() {
        return [this](auto replies) {
            if (!replies) {
                errors_.push_back(replies.error().code);
                return;
            }
            for (const RedisReply& reply : *replies) {
                answers_.emplace_back(text_of(*reply));
            }
        };
    }

    Loop loop_;
    Owner owner_;
    Listener listener_;
    UniqueFd server_;
    std::vector<std::string> answers_;
    std::vector<Errc> errors_;
};

TEST_F(RedisConnectionTest, LogsInWithUserPasswordAndDatabase) {
    RedisOptions chosen = options();
    chosen.url.user = "me";
    chosen.url.password = "pw";
    chosen.url.db = 2;
    RedisConnection connection(loop_, owner_, chosen);

    connection.start();
    server_ = listener_.accept(loop_);
    expect("*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$2\r\npw\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n" + std::string(kSetName));
    say("+OK\r\n+OK\r\n-NOPERM may not be named\r\n");

    run_until([&] { return connection.is_up(); });
    EXPECT_EQ(owner_.ups, 1);
}

TEST_F(RedisConnectionTest, RefusedLoginIsToldOnceAndTriedAgain) {
    RedisConnection connection(loop_, owner_, options());
    connection.start();

    for (int attempt = 0; attempt < 3; ++attempt) {
        server_ = listener_.accept(loop_);
        expect(kSetName);
        say("-NOAUTH Authentication required.\r\n");
    }
    run_until([this] { return !owner_.downs.empty(); });

    ASSERT_EQ(owner_.downs.size(), 1U);
    EXPECT_NE(owner_.downs[0].detail.find("NOAUTH"), std::string::npos);
    EXPECT_EQ(owner_.ups, 0);
}

TEST_F(RedisConnectionTest, NoErrorTellsThePassword) {
    // Redis repeats the first 128 characters of an argument; another server may repeat all.
    const std::string password(200, 'p');
    RedisOptions chosen = options();
    chosen.url.password = password;
    RedisConnection connection(loop_, owner_, chosen);
    connection.start();

    for (const std::string& told : {", with args beginning with: '" + password.substr(0, 128) + "'", ": " + password}) {
        server_ = listener_.accept(loop_);
        expect("*2\r\n$4\r\nAUTH\r\n$200\r\n" + password + "\r\n" + std::string(kSetName));
        say("-ERR unknown command 'AUTH'" + told + "\r\n+OK\r\n");
    }
    run_until([this] { return owner_.downs.size() == 2; });

    for (const Error& error : owner_.downs) {
        EXPECT_EQ(error.detail.find("ppp"), std::string::npos) << error.detail;
        EXPECT_NE(error.detail.find("AUTH"), std::string::npos) << error.detail;
    }
}

TEST_F(RedisConnectionTest, ASentinelThatNamesNoHostIsNotFollowed) {
    RedisOptions chosen = options();
    chosen.url.sentinels = {listener_.endpoint()};
    chosen.url.master = "main";
    RedisConnection connection(loop_, owner_, chosen);
    connection.start();

    server_ = listener_.accept(loop_);
    expect("*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\nmain\r\n");
    say("*2\r\n$9\r\n127.0\n0.1\r\n$4\r\n6379\r\n");
    run_until([this] { return !owner_.downs.empty(); });

    EXPECT_NE(owner_.downs[0].detail.find("names no address"), std::string::npos) << owner_.downs[0].detail;
}

TEST_F(RedisConnectionTest, AReadOnlyServerIsLeftByWhoeverWrites) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}), record());
    connection.send(RedisCommands().add({"B"}), record());
    say("-READONLY You can't write against a read only replica.\r\n");
    run_until([this] { return errors_.size() == 1; });

    EXPECT_EQ(answers_.size(), 1U) << "who asked is told";
    EXPECT_EQ(errors_[0], Errc::unavailable);
    EXPECT_NE(owner_.downs.at(0).detail.find("READONLY"), std::string::npos);
    log_in();
    run_until([&] { return connection.is_up(); });
}

TEST_F(RedisConnectionTest, AReplyThatNeverEndsIsNoAnswer) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}), record());
    say("+");
    for (int turns = 0; turns < 500 && errors_.empty(); ++turns) {
        ::send(server_.get(), "a", 1, MSG_NOSIGNAL);
        std::this_thread::sleep_for(2ms);
        loop_.turn(0ms);
    }

    EXPECT_EQ(errors_, std::vector{Errc::timeout});
}

TEST_F(RedisConnectionTest, RepliesComeInOrderOnePipelineEach) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}).add({"B"}), record());
    connection.send(RedisCommands().add({"C"}), record());
    expect("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*1\r\n$1\r\nC\r\n");
    say("+a\r\n");
    loop_.turn(5ms);
    EXPECT_TRUE(answers_.empty());
    say("-ERR b\r\n+c\r\n");
    run_until([this] { return answers_.size() == 3; });

    EXPECT_EQ(answers_, (std::vector<std::string>{"a", "ERR b", "c"}));
}

TEST_F(RedisConnectionTest, SendWhileDownFailsAtOnce) {
    RedisConnection connection(loop_, owner_, options());

    connection.send(RedisCommands().add({"A"}), record());

    EXPECT_EQ(errors_, std::vector{Errc::unavailable});
}

TEST_F(RedisConnectionTest, SilenceFailsEverythingPendingAndReconnects) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}), record());
    connection.send(RedisCommands().add({"B"}), record());
    run_until([this] { return errors_.size() == 2; });
    EXPECT_EQ(errors_, (std::vector{Errc::timeout, Errc::timeout}));
    EXPECT_EQ(owner_.downs.size(), 1U);

    log_in();
    run_until([&] { return connection.is_up(); });
    EXPECT_EQ(connection.reconnects(), 1U);
}

TEST_F(RedisConnectionTest, LostConnectionFailsWhatIsPending) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}), record());
    server_.reset();
    run_until([this] { return !errors_.empty(); });

    EXPECT_EQ(errors_, std::vector{Errc::unavailable});
    EXPECT_FALSE(connection.is_up());
}

TEST_F(RedisConnectionTest, IdleConnectionIsAskedAndKeptWhenItAnswers) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    expect("*1\r\n$4\r\nPING\r\n");
    say("+PONG\r\n");
    expect("*1\r\n$4\r\nPING\r\n");
    EXPECT_TRUE(connection.is_up());

    run_until([&] { return !connection.is_up(); });
    EXPECT_EQ(owner_.downs[0].code, Errc::timeout);
}

TEST_F(RedisConnectionTest, ReplyThatNobodyAskedForEndsTheConnection) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    say("+surprise\r\n");
    run_until([&] { return !connection.is_up(); });

    EXPECT_NE(owner_.downs[0].detail.find("surprise"), std::string::npos);
}

TEST_F(RedisConnectionTest, PipelineOverTheBoundIsRefused) {
    RedisOptions patient = options();
    patient.reply_timeout = 10s;
    RedisConnection connection(loop_, owner_, patient);
    bring_up(connection);

    for (std::size_t i = 0; i <= RedisConnection::kPendingMax; ++i) {
        connection.send(RedisCommands().add({"A"}), record());
    }

    EXPECT_EQ(errors_, std::vector{Errc::overloaded});
}

TEST_F(RedisConnectionTest, DropInsideACallbackIsSafe) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    connection.send(RedisCommands().add({"A"}), [&](auto) { connection.drop(Error{Errc::unavailable, "enough"}); });
    connection.send(RedisCommands().add({"B"}), record());
    loop_.turn(0ms);
    say("+a\r\n+b\r\n");
    run_until([this] { return !errors_.empty(); });

    EXPECT_EQ(errors_, std::vector{Errc::unavailable});
    EXPECT_TRUE(answers_.empty());
    EXPECT_EQ(owner_.downs.size(), 1U);
}

TEST_F(RedisConnectionTest, AMessageOfAnOddFormEndsTheConnection) {
    RedisConnection connection(loop_, owner_, options());
    bring_up(connection);

    say("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n:5\r\n");
    run_until([&] { return !connection.is_up(); });

    EXPECT_TRUE(owner_.batches.empty());
}

}  // namespace
}  // namespace boardbus::transport

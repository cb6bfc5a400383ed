// A redis-server of a test's own, and somebody else who talks to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/listener.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {

inline std::optional<std::string> find_program(const std::string& name) {
    std::string_view path = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
    while (!path.empty()) {
        const std::string_view folder = path.substr(0, path.find(':'));
        path.remove_prefix(std::min(path.size(), folder.size() + 1));
        std::string program = std::string(folder) + "/" + name;
        if (::access(program.c_str(), X_OK) == 0) {
            return program;
        }
    }
    return std::nullopt;
}

inline pid_t spawn(const std::vector<std::string>& words) {
    std::vector<char*> arguments;
    for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid = -1;
    EXPECT_EQ(::posix_spawn(&pid, words[0].c_str(), &actions, nullptr, arguments.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/// A redis-server of the test's own; killed with it.
class RedisServer {
  public:
    RedisServer() {
        char name[] = "/tmp/boardbus-redis-XXXXXX";
        folder_ = ::mkdtemp(name);
    }
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;
    ~RedisServer() {
        kill();
        std::filesystem::remove_all(folder_);
    }

    /// Does not wait until it listens.
    void start(const std::vector<std::string>& more = {}) {
        std::vector<std::string> words{*find_program("redis-server"),
                                       "--port",
                                       std::to_string(port()),
                                       "--bind",
                                       "127.0.0.1",
                                       "--save",
                                       "",
                                       "--appendonly",
                                       "no",
                                       "--dir",
                                       folder_};
        words.insert(words.end(), more.begin(), more.end());
        pid_ = spawn(words);
    }
    /// The program as a Sentinel of the master `main` at `master_port`, two of three make a quorum.
    void start_sentinel(std::uint16_t master_port) {
        const std::string file = folder_ + "/sentinel.conf";
        std::ofstream(file) << "port " << port() << "\nbind 127.0.0.1\ndir " << folder_
                            << "\nsentinel monitor main 127.0.0.1 " << master_port
                            << " 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 1000\n";
        pid_ = spawn({*find_program("redis-server"), file, "--sentinel"});
    }
    /// The program as a node of a cluster to be. Its second port is one of its own, because 10,000 above the first there may be none.
    void start_cluster_node() {
        start({"--cluster-enabled", "yes", "--cluster-port", std::to_string(bus_port_.number()),
               "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay",
               "0", "--repl-ping-replica-period", "1"});
    }
    void kill() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(std::exchange(pid_, -1), nullptr, 0);
        }
    }
    void signal(int number) const { ::kill(pid_, number); }
    const std::string& folder() const { return folder_; }
    std::uint16_t port() const { return port_.number(); }

  private:
    ReservedPort port_;
    ReservedPort bus_port_;
    std::string folder_;
    pid_t pid_ = -1;
};

/// A third party's connection: what other programs do to the server.
class RedisClient final : public RedisOwner {
  public:
    RedisClient(Loop& loop, const RedisOptions& options) : loop_(loop), connection_(loop, *this, options) {
        connection_.start();
    }
    void on_redis_up() override {}
    void on_redis_down(const Error&) override {}
    void on_redis_messages(const std::vector<RedisReply>&) override {}

    RedisConnection& connection() { return connection_; }

    /// The reply as a text; an integer in decimal, nil as "(nil)".
    std::string call(std::initializer_list<std::string_view> words) {
        for (int i = 0; i < 500 && !connection_.is_up(); ++i) {
            loop_.turn(std::chrono::milliseconds(10));
        }
        std::optional<std::string> answer;
        connection_.send(RedisCommands().add(words), [&](auto replies) {
            const bool is_number = replies && replies->front()->type == REDIS_REPLY_INTEGER;
            answer = !replies                                    ? "lost: " + replies.error().detail
                     : is_number                                 ? std::to_string(replies->front()->integer)
                     : replies->front()->type == REDIS_REPLY_NIL ? "(nil)"
                                                                 : std::string(text_of(*replies->front()));
        });
        for (int i = 0; i < 500 && !answer; ++i) {
            loop_.turn(std::chrono::milliseconds(10));
        }
        return answer.value_or("no answer");
    }

  private:
    Loop& loop_;
    RedisConnection connection_;
};

}  // namespace boardbus::transport

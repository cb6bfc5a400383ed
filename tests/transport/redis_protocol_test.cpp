// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_protocol.h"

#include <gtest/gtest.h>

#include <string>

#include "transport/redis_bus.h"

namespace boardbus::transport {
namespace {

using Status = board::CommitResult::Status;

TEST(RedisCommands, WordsAreCountedInBytesAndMayHoldAnything) {
    RedisCommands commands;

    commands.add({"SET", "k", std::string_view("\r\n\0", 3)}).add({"PING"});

    EXPECT_EQ(commands.bytes(), std::string("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\0\r\n*1\r\n$4\r\nPING\r\n", 43));
    EXPECT_EQ(commands.count(), 2U);
}

TEST(RedisReader, RepliesMayComeByteByByte) {
    RedisReader reader;
    std::vector<RedisReply> replies;

    for (const char byte : std::string_view("+OK\r\n*2\r\n:7\r\n$3\r\na\r\n\r\n-ERR no\r\n")) {
        reader.feed({&byte, 1});
        auto reply = reader.next();
        ASSERT_TRUE(reply);
        if (*reply) {
            replies.push_back(std::move(*reply));
        }
    }

    ASSERT_EQ(replies.size(), 3U);
    EXPECT_EQ(text_of(*replies[0]), "OK");
    ASSERT_EQ(replies[1]->elements, 2U);
    EXPECT_EQ(replies[1]->element[0]->integer, 7);
    EXPECT_EQ(text_of(*replies[1]->element[1]), "a\r\n");
    EXPECT_TRUE(is_error(*replies[2]));
}

TEST(RedisReader, RefusesWhatIsNotResp) {
    RedisReader reader;

    reader.feed("HTTP/1.1 400 Bad Request\r\n\r\n");

    EXPECT_FALSE(reader.next());
}

TEST(RedisReader, RefusesAReplyOverTheBound) {
    RedisReader reader;
    reader.feed("$999999999\r\n");
    ASSERT_TRUE(reader.next());

    reader.feed(std::string(kRedisReplyBytesMax, 'x'));

    EXPECT_FALSE(reader.next());
}

TEST(RedisReader, RefusesAnArrayOverTheBound) {
    RedisReader reader;

    reader.feed("*" + std::to_string(kRedisReplyElementsMax + 1) + "\r\n");

    EXPECT_FALSE(reader.next());
}

TEST(RedisReader, RefusesManyArraysInOneReply) {
    RedisReader reader;
    const std::string half = "*" + std::to_string(kRedisReplyElementsMax / 2 + 1) + "\r\n";

    reader.feed(half + half);

    EXPECT_FALSE(reader.next());
}

TEST(RedisReader, BoundsCountAnewForEveryReply) {
    RedisReader reader;
    const std::string megabyte(1 << 20, 'x');

    for (int i = 0; i < 20; ++i) {
        reader.feed("*1\r\n$" + std::to_string(megabyte.size()) + "\r\n" + megabyte + "\r\n");
        const auto reply = reader.next();
        ASSERT_TRUE(reply) << i;
        ASSERT_NE(*reply, nullptr);
    }
}

TEST(RedisError, OutagesAreNobodysFault) {
    for (const char* text : {"LOADING Redis is loading the dataset in memory",
                             "READONLY You can't write against a read only replica.",
                             "OOM command not allowed when used memory > 'maxmemory'.",
                             "NOREPLICAS Not enough good replicas to write.",
                             "MASTERDOWN Link with MASTER is down",
                             "CLUSTERDOWN The cluster is down",
                             "MISCONF Errors writing to the AOF file",
                             "BUSY Redis is busy running a script.",
                             "TRYAGAIN Multiple keys request during rehashing",
                             "UNKILLABLE Sorry",
                             "NOAUTH x",
                             "WRONGPASS invalid",
                             "NOPERM no",
                             "ERR max number of clients reached",
                             "ERR The user executing the script can't run this command or subcommand",
                             "MOVED 3999 127.0.0.1:6381",
                             "ASK 3999 127.0.0.1:6381",
                             "CROSSSLOT Keys in request don't hash to the same slot",
                             "ERR Script attempted to access a non local key in a cluster node script: f1",
                             "ERR Script attempted to execute a write command while the cluster is down and readonly",
                             "ERR Unable to execute command, during rehashing undeclared keys were accessed",
                             "EXECABORT Transaction discarded because of: OOM x"}) {
        EXPECT_EQ(redis_error(text).code, Errc::unavailable) << text;
    }
    for (const char* text :
         {"WRONGTYPE Operation against a key", "ERR unknown command", "BUSYKEY Target key name already exists.", "",
          "EXECABORT Transaction discarded because of: ERR x"}) {
        EXPECT_EQ(redis_error(text).code, Errc::refused) << text;
    }
}

TEST(RedisError, TellsNoArguments) {
    EXPECT_EQ(redis_error("ERR unknown command 'AUTH', with args beginning with: 'me' 'pw'").detail,
              "ERR unknown command 'AUTH'");
}

TEST(RedisError, KeepsTheBeginningOfAText) {
    EXPECT_EQ(redis_error("ERR " + std::string(1 << 20, 'x')).detail.size(), 300);
}

Status status_of(std::string_view bytes) {
    RedisReader reader;
    reader.feed(bytes);
    return to_commit_result(**reader.next()).status;
}

TEST(CommitResult, FollowsTheReply) {
    EXPECT_EQ(status_of("*2\r\n:1\r\n:5\r\n"), Status::fresh);
    EXPECT_EQ(status_of("*2\r\n:2\r\n:0\r\n"), Status::duplicate);
    EXPECT_EQ(status_of("*2\r\n:3\r\n:1\r\n"), Status::conflict);
    EXPECT_EQ(status_of("-WRONGTYPE Operation\r\n"), Status::failed);
    EXPECT_EQ(status_of("-OOM command not allowed\r\n"), Status::unavailable);
    EXPECT_EQ(status_of("$-1\r\n"), Status::unavailable);
    EXPECT_EQ(status_of(":9\r\n"), Status::unavailable);
    EXPECT_EQ(status_of("*1\r\n:2\r\n"), Status::unavailable);
    EXPECT_EQ(status_of("*0\r\n"), Status::unavailable);
}

}  // namespace
}  // namespace boardbus::transport

// Slots, hash tags and what nodes of a cluster say: right, wrong and hostile.
// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_cluster.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace boardbus::transport {
namespace {

const Endpoint kAsked{.host = "10.0.0.1", .port = 7000};

RedisReply parsed(std::string_view bytes) {
    RedisReader reader;
    reader.feed(bytes);
    auto reply = reader.next();
    EXPECT_TRUE(reply && *reply != nullptr) << bytes;
    return std::move(*reply);
}

Result<ClusterView> view(std::string_view bytes, std::uint16_t slot = 100) {
    return read_cluster_slots(*parsed(bytes), slot, kAsked);
}

std::string node(std::string_view host, int port) {
    return "*3\r\n$" + std::to_string(host.size()) + "\r\n" + std::string(host) + "\r\n:" + std::to_string(port) +
           "\r\n$2\r\nid\r\n";
}

TEST(ClusterSlot, FollowsTheVectorsOfTheSpecification) {
    EXPECT_EQ(crc16("123456789"), 0x31C3);
    EXPECT_EQ(crc16(""), 0);

    // As `CLUSTER KEYSLOT` answers.
    EXPECT_EQ(slot_of("123456789"), 0x31C3 % 16384);
    EXPECT_EQ(slot_of("foo"), 12182);
    EXPECT_EQ(slot_of("bar"), 5061);
    EXPECT_EQ(slot_of(""), 0);
}

TEST(ClusterSlot, IsThatOfTheFirstHashTagUnlessItIsEmpty) {
    EXPECT_EQ(slot_of("{user1000}.following"), slot_of("user1000"));
    EXPECT_EQ(slot_of("a{user1000}b{c}"), slot_of("user1000"));
    EXPECT_EQ(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    EXPECT_EQ(slot_of("foo{bar}{zap}"), slot_of("bar"));

    EXPECT_EQ(slot_of("foo{}{bar}"), crc16("foo{}{bar}") % kClusterSlots);
    EXPECT_EQ(slot_of("foo{bar"), crc16("foo{bar") % kClusterSlots);
    EXPECT_EQ(slot_of("foo}bar{"), crc16("foo}bar{") % kClusterSlots);
}

TEST(ClusterSlots, NameTheMasterOfTheSlotAndAllNodes) {
    const auto seen = view("*2\r\n*4\r\n:0\r\n:99\r\n" + node("10.0.0.1", 7000) + node("10.0.0.2", 7001) +
                           "*4\r\n:100\r\n:16383\r\n" + node("10.0.0.3", 7002) + node("10.0.0.2", 7001));

    ASSERT_TRUE(seen) << seen.error().detail;
    EXPECT_EQ(seen->master, (Endpoint{.host = "10.0.0.3", .port = 7002}));
    ASSERT_EQ(seen->nodes.size(), 3U);
    EXPECT_EQ(seen->nodes[1], (Endpoint{.host = "10.0.0.2", .port = 7001}));
}

TEST(ClusterSlots, ANodeWithoutANameIsWhereWeAsked) {
    const auto empty = view("*1\r\n*3\r\n:0\r\n:16383\r\n" + node("", 7009));
    ASSERT_TRUE(empty);
    EXPECT_EQ(empty->master, (Endpoint{.host = "10.0.0.1", .port = 7009}));

    const auto nil = view("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$-1\r\n:7009\r\n$2\r\nid\r\n");
    ASSERT_TRUE(nil);
    EXPECT_EQ(nil->master.host, "10.0.0.1");
}

TEST(ClusterSlots, ThatNobodyServesAreRefused) {
    EXPECT_NE(view("*0\r\n").error().detail.find("slot 100"), std::string::npos);
    EXPECT_FALSE(view("*1\r\n*3\r\n:101\r\n:16383\r\n" + node("a", 1)));
    EXPECT_EQ(view("-ERR This instance has cluster support disabled\r\n").error().detail,
              "ERR This instance has cluster support disabled");
}

TEST(ClusterSlots, OfAnotherFormAreRefused) {
    for (const std::string& bytes : {
             std::string("+OK\r\n"),
             std::string(":5\r\n"),
             std::string("$-1\r\n"),
             std::string("*1\r\n:1\r\n"),
             std::string("*1\r\n*0\r\n"),
             std::string("*1\r\n*2\r\n:0\r\n:16383\r\n"),
             "*1\r\n*3\r\n$1\r\n0\r\n:16383\r\n" + node("a", 1),
             // The only master has no address that one could connect to.
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("a", 0),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("a", 65536),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("a", -1),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("?", 1),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("a\nb", 1),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node("a b", 1),
             "*1\r\n*3\r\n:0\r\n:16383\r\n" + node(std::string(254, 'a'), 1),
             std::string("*1\r\n*3\r\n:0\r\n:16383\r\n*1\r\n$1\r\na\r\n"),
             std::string("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
             std::string("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n:1\r\n:1\r\n"),
         }) {
        EXPECT_FALSE(view(bytes)) << bytes;
    }
}

TEST(ClusterSlots, AreRememberedUpToABound) {
    std::string many = "*1000\r\n";
    for (int i = 0; i < 1000; ++i) {
        many += "*3\r\n:" + std::to_string(i) + "\r\n:" + std::to_string(i) + "\r\n" + node("h" + std::to_string(i), 1);
    }
    const auto seen = view(many, 999);

    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->master.host, "h999");
    EXPECT_EQ(seen->nodes.size(), kClusterNodesMax);
}

TEST(ClusterInfo, TellsWhetherTheClusterWorks) {
    EXPECT_TRUE(is_cluster_ok(*parsed("$43\r\ncluster_state:ok\r\ncluster_slots_assigned:1\r\n\r\n")));
    EXPECT_FALSE(is_cluster_ok(*parsed("$20\r\ncluster_state:fail\r\n\r\n")));
    EXPECT_FALSE(is_cluster_ok(*parsed(":1\r\n")));
}

TEST(ClusterMoved, NamesTheAddress) {
    EXPECT_EQ(moved_to("MOVED 3999 127.0.0.1:6381", kAsked), (Endpoint{.host = "127.0.0.1", .port = 6381}));
    EXPECT_EQ(moved_to("MOVED 3999 fd00::2:6381", kAsked), (Endpoint{.host = "fd00::2", .port = 6381}));
    EXPECT_EQ(moved_to("MOVED 3999 :6381", kAsked), (Endpoint{.host = "10.0.0.1", .port = 6381}));
    EXPECT_TRUE(moved_to("MOVED 1 a:1", {.host = "x", .port = 1, .tls = true})->tls);

    for (const char* text :
         {"MOVED", "MOVED ", "MOVED 1", "MOVED 1 a", "MOVED 1 a:", "MOVED 1 a:x", "MOVED 1 a:0", "MOVED 1 a:65536",
          "MOVED 1 a:-1", "MOVED 1 a b:1", "MOVED 1 ?:1", "MOVED 1:2 a", "ASK 1 a:1", ""}) {
        EXPECT_FALSE(moved_to(text, kAsked)) << text;
    }
}

}  // namespace
}  // namespace boardbus::transport

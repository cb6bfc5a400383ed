// SPDX-License-Identifier: Apache-2.0
#include "transport/url.h"

#include <gtest/gtest.h>

namespace boardbus::transport {
namespace {

std::string error_of(std::string_view amqp) {
    const auto urls = parse_amqp_urls(amqp);
    return urls ? "" : urls.error().detail;
}

TEST(HttpUrl, PortsAreThoseOfTheScheme) {
    EXPECT_EQ(parse_http_url("http://collector")->endpoint, (Endpoint{.host = "collector", .port = 80}));
    EXPECT_EQ(parse_http_url("https://collector/")->endpoint,
              (Endpoint{.host = "collector", .port = 443, .tls = true}));
}

TEST(HttpUrl, KeepsItsPathAsItWasWritten) {
    EXPECT_EQ(parse_http_url("http://h")->path, "/");
    EXPECT_EQ(parse_http_url("http://h:4318/a%2Fb/c")->path, "/a%2Fb/c");
}

TEST(HttpUrl, RefusesWhatItDoesNotUnderstand) {
    for (const char* text : {"", "h", "amqp://h", "http://", "http://h:0", "http://h/%zz", "http://h/a b",
                             "http://h/\xc3\xa4", "http://h?a", "http://h#a", "http://u@h", "http://:p@h"}) {
        const auto url = parse_http_url(text);
        ASSERT_FALSE(url) << text;
        EXPECT_EQ(url.error().code, Errc::invalid);
    }
}

TEST(RedisUrl, DefaultsAreSixThreeSevenNineAndDatabaseZero) {
    const auto url = parse_redis_url("redis://cache");

    ASSERT_TRUE(url);
    EXPECT_EQ(url->endpoint, (Endpoint{.host = "cache", .port = 6379}));
    EXPECT_EQ(url->user + url->password, "");
    EXPECT_EQ(url->db, 0);
}

TEST(RedisUrl, ReadsEveryPart) {
    const auto url = parse_redis_url("rediss://me:p%40ss%3A1@redis.example:6380/2");

    ASSERT_TRUE(url);
    EXPECT_EQ(url->endpoint, (Endpoint{.host = "redis.example", .port = 6380, .tls = true}));
    EXPECT_EQ(url->user, "me");
    EXPECT_EQ(url->password, "p@ss:1");
    EXPECT_EQ(url->db, 2);
}

TEST(RedisUrl, PasswordMayComeWithoutAUser) {
    const auto url = parse_redis_url("redis://:secret@h/");

    ASSERT_TRUE(url);
    EXPECT_EQ(url->user, "");
    EXPECT_EQ(url->password, "secret");
}

TEST(RedisUrl, RefusesWhatItDoesNotUnderstand) {
    for (const char* text : {"",
                             "redis",
                             "http://h",
                             "redis://",
                             "redis://h:0",
                             "redis://h:65536",
                             "redis://h:",
                             "redis://h:x",
                             "redis://h/x",
                             "redis://h/-1",
                             "redis://h/1/2",
                             "redis://h/99999999999",
                             "redis://h?db=1",
                             "redis://h h",
                             "redis://u%4@h",
                             "redis://u%zz@h",
                             "redis://[::1",
                             "redis://[h]",
                             "redis://::1",
                             "redis://h\n"}) {
        EXPECT_FALSE(parse_redis_url(text)) << text;
    }
}

TEST(RedisUrl, NamesSentinelsAndTheirMaster) {
    const auto url = parse_redis_url("redis+sentinel://me:p%2Fw@a:5000,b,[fd00::2]:7/main/3");

    ASSERT_TRUE(url) << url.error().detail;
    ASSERT_EQ(url->sentinels.size(), 3U);
    EXPECT_EQ(url->sentinels[0], (Endpoint{.host = "a", .port = 5000}));
    EXPECT_EQ(url->sentinels[1], (Endpoint{.host = "b", .port = 26379}));
    EXPECT_EQ(url->sentinels[2], (Endpoint{.host = "fd00::2", .port = 7}));
    EXPECT_EQ(url->master, "main");
    EXPECT_EQ(url->user + " " + url->password, "me p/w");
    EXPECT_EQ(url->db, 3);

    const auto tls = parse_redis_url("rediss+sentinel://a,b/main");
    ASSERT_TRUE(tls);
    EXPECT_TRUE(tls->sentinels[1].tls);
    EXPECT_EQ(tls->db, 0);
    EXPECT_TRUE(parse_redis_url("redis://a/1")->sentinels.empty());
}

TEST(RedisUrl, RefusesSentinelsItDoesNotUnderstand) {
    for (const char* text :
         {"redis+sentinel://a,b", "redis+sentinel://a,b/", "redis+sentinel://a,,b/m", "redis+sentinel://a,/m",
          "redis+sentinel://a:0,b/m", "redis+sentinel://a,b:x/m", "redis+sentinel://a/m/x", "redis+sentinel://a/m/1/2",
          "redis+sentinel:///m", "redis://a,b/1", "amqp+sentinel://a/m"}) {
        EXPECT_FALSE(parse_redis_url(text)) << text;
    }
    std::string many = "redis+sentinel://a";
    for (int i = 0; i < 16; ++i) {
        many += ",a";
    }
    EXPECT_FALSE(parse_redis_url(many + "/m"));
}

TEST(RedisUrl, NamesNodesOfACluster) {
    const auto url = parse_redis_url("rediss+cluster://me:p%2Fw@a:5000,b,[fd00::2]:7/0");

    ASSERT_TRUE(url) << url.error().detail;
    ASSERT_EQ(url->cluster.size(), 3U);
    EXPECT_EQ(url->cluster[0], (Endpoint{.host = "a", .port = 5000, .tls = true}));
    EXPECT_EQ(url->cluster[1], (Endpoint{.host = "b", .port = 6379, .tls = true}));
    EXPECT_EQ(url->cluster[2], (Endpoint{.host = "fd00::2", .port = 7, .tls = true}));
    EXPECT_EQ(url->user, "me");
    EXPECT_EQ(url->password, "p/w");
    EXPECT_TRUE(url->is_cluster());
    EXPECT_TRUE(url->has_standby());
    EXPECT_TRUE(url->sentinels.empty());

    EXPECT_EQ(parse_redis_url("redis+cluster://a")->cluster.size(), 1U);
    EXPECT_TRUE(parse_redis_url("redis+cluster://a,b/"));
    EXPECT_FALSE(parse_redis_url("redis://a/1")->has_standby());
    EXPECT_TRUE(parse_redis_url("redis+sentinel://a/m")->has_standby());
    EXPECT_EQ(mask_url("redis+cluster://u:p@a,b:1"), "redis+cluster://u:***@a,b:1");
}

TEST(RedisUrl, RefusesAClusterItDoesNotUnderstand) {
    for (const char* text :
         {"redis+cluster://a/1", "redis+cluster://a/main", "redis+cluster://a,,b", "redis+cluster://a,",
          "redis+cluster://", "redis+cluster://a:0", "redis+cluster://a?x=1", "redis+clusters://a"}) {
        EXPECT_FALSE(parse_redis_url(text)) << text;
    }
}

TEST(AmqpUrl, DefaultsAreThoseOfRabbitMq) {
    const auto urls = parse_amqp_urls("amqp://mq");

    ASSERT_TRUE(urls);
    ASSERT_EQ(urls->size(), 1U);
    EXPECT_EQ(urls->front().endpoint, (Endpoint{.host = "mq", .port = 5672}));
    EXPECT_EQ(urls->front().user, "guest");
    EXPECT_EQ(urls->front().password, "guest");
    EXPECT_EQ(urls->front().vhost, "/");
}

TEST(AmqpUrl, VhostIsThePathDecoded) {
    for (const auto& [text, vhost] :
         {std::pair{"amqp://h/", "/"}, {"amqp://h/%2f", "/"}, {"amqp://h/a", "a"}, {"amqp://h/a%2Fb", "a/b"}}) {
        const auto urls = parse_amqp_urls(text);
        ASSERT_TRUE(urls) << text;
        EXPECT_EQ(urls->front().vhost, vhost) << text;
    }
}

TEST(AmqpUrl, ListKeepsItsOrder) {
    const auto urls = parse_amqp_urls("amqp://u:p@a/v, amqps://u:p@[fd00::2]:5673/v");

    ASSERT_TRUE(urls);
    ASSERT_EQ(urls->size(), 2U);
    EXPECT_EQ((*urls)[0].endpoint, (Endpoint{.host = "a", .port = 5672}));
    EXPECT_EQ((*urls)[1].endpoint, (Endpoint{.host = "fd00::2", .port = 5673, .tls = true}));
    EXPECT_EQ(parse_amqp_urls("amqps://h")->front().endpoint.port, 5671);
}

TEST(AmqpUrl, EmptyMembersOfAListAreErrors) {
    EXPECT_FALSE(parse_amqp_urls(""));
    EXPECT_FALSE(parse_amqp_urls("amqp://a,"));
    EXPECT_FALSE(parse_amqp_urls(",amqp://a"));
}

TEST(AmqpUrl, ErrorsNeverShowThePassword) {
    for (const char* text : {"amqp://u:s3cret@h:x", "amqp://u:s3cret@", "amqp://u:s3cret/x@h", "amqp://u:s3,s3cret@h",
                             "amqp://u:%s3cret@h", "amqp://u:s3?s3cret@h", "amqp://a,amqp://u:s3cret@h:0",
                             "http://u:s3cret@h", "amqp://:s3cret@h:99999"}) {
        const std::string error = error_of(text);
        EXPECT_FALSE(error.empty()) << text;
        EXPECT_EQ(error.find("s3"), std::string::npos) << error;
    }
}

TEST(MaskUrl, HidesEveryPasswordAndKeepsTheRest) {
    EXPECT_EQ(mask_url("amqp://u:p@a:1/v,amqps://u:q@b/v"), "amqp://u:***@a:1/v,amqps://u:***@b/v");
    EXPECT_EQ(mask_url("redis://:p@h/2"), "redis://:***@h/2");
    EXPECT_EQ(mask_url("redis://p@h/2"), "redis://***@h/2");
    EXPECT_EQ(mask_url("redis+sentinel://u:p@a,b:1/m/2"), "redis+sentinel://u:***@a,b:1/m/2");
    EXPECT_EQ(mask_url("redis://h:6379/2"), "redis://h:6379/2");
    EXPECT_EQ(mask_url("memory://"), "memory://");
    EXPECT_EQ(mask_url("nothing"), "nothing");
    EXPECT_EQ(mask_url("redis://u:a@b:c/d,e@h/2"), "redis://u:***@h/2");
}

}  // namespace
}  // namespace boardbus::transport

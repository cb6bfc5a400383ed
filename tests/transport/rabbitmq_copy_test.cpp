// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_copy.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace boardbus::transport {
namespace {

using amqp::find_field;
using namespace std::chrono_literals;

amqp::Properties with_headers(amqp::Table headers) {
    amqp::Properties properties;
    properties.headers = std::move(headers);
    return properties;
}

TEST(RetryCount, TakesAnyIntegerAndNothingElse) {
    EXPECT_EQ(retry_count_of({}), 0);
    EXPECT_EQ(retry_count_of(with_headers({{"x-retry-count", std::int8_t{3}}})), 3);
    EXPECT_EQ(retry_count_of(with_headers({{"x-retry-count", std::int64_t{-3}}})), 0);
    EXPECT_EQ(retry_count_of(with_headers({{"x-retry-count", "3"}})), 0);
    EXPECT_EQ(retry_count_of(with_headers({{"x-retry-count", std::uint64_t{1} << 63}})), INT64_MAX);
}

TEST(RetryCopy, KeepsTheOriginalAndSaysWhyAndWhen) {
    auto original = with_headers({{"traceparent", "00-1"}, {"x-retry-count", std::int32_t{1}}, {"last-error", "old"}});
    original.message_id = "m";
    original.content_type = "application/json";
    original.priority = 4;

    const auto copy = retry_copy(original, 2, 1500ms, "new", "now");

    EXPECT_EQ(copy.message_id, "m");
    EXPECT_EQ(copy.content_type, "application/json");
    EXPECT_EQ(copy.priority, 4);
    EXPECT_EQ(copy.delivery_mode, 2);
    EXPECT_EQ(copy.expiration, "1500");
    EXPECT_EQ(copy.headers, (amqp::Table{{"traceparent", "00-1"},
                                         {"x-retry-count", std::int32_t{2}},
                                         {"last-error", "new"},
                                         {"x-first-failed-at", "now"}}));
}

TEST(RetryCopy, KeepsTheTimeOfTheFirstFailure) {
    const auto copy = retry_copy(with_headers({{"x-first-failed-at", "then"}}), 2, 1ms, "e", "now");

    EXPECT_EQ(find_field(copy.headers, "x-first-failed-at")->as_text(), "then");
}

TEST(RetryCopy, LeavesOutWhatWouldHarmIt) {
    auto original = with_headers({{"x-death", amqp::Array{}},
                                  {"x-first-death-queue", "q"},
                                  {"x-last-death-reason", "r"},
                                  {"x-delivery-count", std::int32_t{4}},
                                  {"CC", amqp::Array{}},
                                  {"BCC", amqp::Array{}}});
    original.user_id = "somebody";
    original.expiration = "1";

    const auto retry = retry_copy(original, 1, 0ms, "", "now");
    const auto dead = dead_letter_copy(original, 5, "retries_exhausted", "", "now");

    EXPECT_EQ(retry.headers.size(), 3U);
    EXPECT_EQ(dead.headers.size(), 5U);
    EXPECT_FALSE(dead.expiration);
    EXPECT_FALSE(dead.user_id);
}

TEST(RetryCopy, LeavesRoomInItsFrameWhenTheOriginalFilledOne) {
    const auto copy = retry_copy(
        with_headers({{"small", "kept"}, {"big", std::string(70000, 'x')}, {"bigger", std::string(80000, 'x')}}), 1,
        1ms, std::string(5000, 'e'), "now");

    EXPECT_LE(amqp::encoded_size(copy), 128U * 1024);
    EXPECT_NE(find_field(copy.headers, "small"), nullptr);
    EXPECT_NE(find_field(copy.headers, "big"), nullptr);
    EXPECT_EQ(find_field(copy.headers, "bigger"), nullptr);
    EXPECT_EQ(find_field(copy.headers, "last-error")->as_text().size(), 1024U);
}

TEST(RetryCopy, TakesAwayTheLargestOfManyTinyHeaders) {
    amqp::Properties original;
    original.headers.assign(60'000,
                            std::pair<std::string, amqp::Value>());  // As many as a frame can hold; 2 bytes each.
    original.headers.insert(original.headers.begin() + 1000,
                            std::pair<std::string, amqp::Value>("large", std::string(5000, 'x')));

    const amqp::Properties copy = retry_copy(original, 1, {}, "error", "now");

    EXPECT_EQ(amqp::find_field(copy.headers, "large"), nullptr);
    EXPECT_NE(amqp::find_field(copy.headers, "x-retry-count"), nullptr);
    EXPECT_GT(copy.headers.size(), 59'000U);
}

TEST(PrintableError, IsAlwaysUtf8AndBounded) {
    EXPECT_EQ(printable_error("fine \xC3\xA9"), "fine \xC3\xA9");
    EXPECT_EQ(printable_error("\xFF\xC3-\xED\xA0\x80"), std::string(2, '?') + "-" + std::string(3, '?'));
    std::string long_text;
    for (int i = 0; i < 1000; ++i) {
        long_text += "\xE2\x82\xAC";
    }
    EXPECT_TRUE(is_utf8(printable_error(long_text)));
    EXPECT_LE(printable_error(long_text).size(), 1024U);
}

TEST(ReplayCopy, IsAsNew) {
    const auto dead = dead_letter_copy(with_headers({{"traceparent", "00-1"}}), 5, "retries_exhausted", "e", "then");

    const auto copy = replay_copy(dead, "now");

    EXPECT_EQ(copy.headers, (amqp::Table{{"traceparent", "00-1"}, {"x-replayed-at", "now"}}));
}

TEST(DeathRecord, ReadsOurOwn) {
    const auto record = death_record(dead_letter_copy({}, 5, "retries_exhausted", "redis said no", "then"));

    EXPECT_EQ(record.reason, "retries_exhausted");
    EXPECT_EQ(record.error, "redis said no");
    EXPECT_EQ(record.attempts, 6);
    EXPECT_EQ(record.failed_at, "then");
    EXPECT_FALSE(record.by_broker);
}

TEST(DeathRecord, ReadsTheBrokers) {
    const auto record = death_record(with_headers(
        {{"x-death",
          amqp::Array{amqp::Table{{"reason", "delivery_limit"}, {"queue", "main"}, {"time", amqp::Timestamp{77}}}}}}));

    EXPECT_EQ(record.reason, "delivery_limit");
    EXPECT_TRUE(record.by_broker);
    EXPECT_EQ(record.broker_time, 77U);
    EXPECT_EQ(record.error, "dead-lettered by RabbitMQ from main");
}

TEST(DeathRecord, SurvivesNonsense) {
    EXPECT_FALSE(death_record(with_headers({{"x-death", "text"}})).by_broker);
    EXPECT_FALSE(death_record(with_headers({{"x-death", amqp::Array{}}})).by_broker);
    EXPECT_FALSE(death_record(with_headers({{"x-death", amqp::Array{std::int32_t{1}}}})).by_broker);
    EXPECT_EQ(death_record(with_headers({{"x-retry-count", std::uint64_t{1} << 63}})).attempts,
              std::int64_t{INT32_MAX} + 1);
}

}  // namespace
}  // namespace boardbus::transport

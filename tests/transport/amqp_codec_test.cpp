// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_codec.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace boardbus::transport::amqp {
namespace {

Table round_trip(const Table& table) {
    std::string bytes;
    Writer(bytes).table(table);
    Reader reader(bytes);
    Table read = reader.table();
    EXPECT_FALSE(reader.failed());
    EXPECT_TRUE(reader.rest().empty());
    return read;
}

std::vector<Frame> frames_of(FrameReader& reader) {
    std::vector<Frame> frames;
    while (auto frame = reader.next()) {
        if (!*frame) {
            break;
        }
        frames.push_back(**frame);
    }
    return frames;
}

std::string nested_tables(int depth) {
    std::string inner;
    for (int i = 0; i < depth; ++i) {
        std::string outer;
        Writer(outer).short_string("n").u8('F').long_string(inner);
        inner = outer;
    }
    std::string table;
    Writer(table).long_string(inner);
    return table;
}

TEST(AmqpTable, KeepsEveryKindOfValue) {
    const Table table{{"void", Value()},
                      {"t", true},
                      {"b", std::int8_t{-3}},
                      {"B", std::uint8_t{200}},
                      {"s", std::int16_t{-300}},
                      {"u", std::uint16_t{60000}},
                      {"I", std::int32_t{-70000}},
                      {"i", std::uint32_t{4000000000U}},
                      {"l", std::numeric_limits<std::int64_t>::min()},
                      {"L", std::numeric_limits<std::uint64_t>::max()},
                      {"f", 1.5F},
                      {"d", -2.25},
                      {"D", Decimal{2, 314}},
                      {"S", std::string("long \0 string", 13)},
                      {"x", Bytes{"\xFF"}},
                      {"T", Timestamp{1700000000}},
                      {"A", Array{std::int32_t{1}, "two", Array{}, Table{{"three", true}}}},
                      {"F", Table{{"inner", Table{{"deep", "er"}}}}}};

    EXPECT_EQ(round_trip(table), table);
}

TEST(AmqpTable, RefusesAnUnknownKind) {
    std::string inner;
    Writer(inner).short_string("x").u8('?').u32(0);
    std::string bytes;
    Writer(bytes).long_string(inner);
    Reader reader(bytes);

    reader.table();

    EXPECT_TRUE(reader.failed());
}

TEST(AmqpTable, RefusesLengthsThatPointOutside) {
    std::string inner;
    Writer(inner).short_string("x").u8('S').u32(1000);
    std::string bytes;
    Writer(bytes).long_string(inner);
    bytes.append(2000, 'y');
    Reader reader(bytes);

    reader.table();

    EXPECT_TRUE(reader.failed());
}

int depth_of(const Table& table) {
    const auto* inner = table.empty() ? nullptr : std::get_if<Table>(&table.front().second.of);
    return inner == nullptr ? 1 : 1 + depth_of(*inner);
}

TEST(AmqpTable, PassesOnWhatIsNestedTooDeepWithoutReadingIt) {
    for (const int depth : {20, 10000}) {
        const std::string bytes = nested_tables(depth);
        Reader reader(bytes);

        const Table table = reader.table();

        ASSERT_FALSE(reader.failed()) << depth;
        EXPECT_LE(depth_of(table), 33);
        std::string again;
        Writer(again).table(table);
        EXPECT_EQ(again, bytes) << depth;
    }
}

TEST(AmqpValue, ReadsEveryIntegerAndNothingElse) {
    EXPECT_EQ(Value(std::int8_t{-1}).as_integer(), -1);
    EXPECT_EQ(Value(std::uint64_t{5}).as_integer(), 5);
    EXPECT_EQ(Value(std::numeric_limits<std::uint64_t>::max()).as_integer(), std::numeric_limits<std::int64_t>::max());
    EXPECT_FALSE(Value("7").as_integer());
    EXPECT_FALSE(Value(true).as_integer());
    EXPECT_FALSE(Value(1.0).as_integer());
    EXPECT_FALSE(Value().as_integer());
}

TEST(FrameReader, CutsFramesByteByByte) {
    const std::string bytes = heartbeat() + channel_open(7) + qos(7, 10);
    FrameReader reader;
    std::vector<std::uint16_t> channels;

    for (const char byte : bytes) {
        reader.feed(std::string_view(&byte, 1));
        for (const Frame& frame : frames_of(reader)) {
            channels.push_back(frame.channel);
        }
    }

    EXPECT_EQ(channels, (std::vector<std::uint16_t>{0, 7, 7}));
}

TEST(FrameReader, RefusesWhatIsTooLong) {
    std::string bytes;
    Writer(bytes).u8(3).u16(1).u32(kFrameMax - 7);
    FrameReader reader;

    reader.feed(bytes);

    EXPECT_FALSE(reader.next());
}

TEST(FrameReader, RefusesAForeignProtocolAndAWrongEnd) {
    FrameReader foreign;
    foreign.feed("HTTP/1.1 400 Bad Request\r\n");
    FrameReader other_version;
    other_version.feed(kProtocolHeader);
    FrameReader wrong_end;
    std::string bytes = heartbeat();
    bytes.back() = 'x';
    wrong_end.feed(bytes);

    EXPECT_FALSE(foreign.next());
    EXPECT_FALSE(other_version.next());
    EXPECT_FALSE(wrong_end.next());
}

TEST(AmqpMethod, RefusesEveryTruncation) {
    std::string whole;
    Writer(whole).u32(60U << 16 | 60U).short_string("tag").u64(9).u8(1).short_string("exchange").short_string("key");
    ASSERT_TRUE(decode_method(whole));

    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(decode_method(std::string_view(whole).substr(0, size))) << size;
    }
}

TEST(AmqpMethod, ReadsADelivery) {
    std::string payload;
    Writer(payload).u32(60U << 16 | 60U).short_string("tag").u64(9).u8(1).short_string("exchange").short_string("key");

    const auto method = decode_method(payload);

    ASSERT_TRUE(method);
    const auto& deliver = std::get<Deliver>(*method);
    EXPECT_EQ(deliver.consumer_tag, "tag");
    EXPECT_EQ(deliver.tag, 9U);
    EXPECT_TRUE(deliver.redelivered);
    EXPECT_EQ(deliver.exchange, "exchange");
    EXPECT_EQ(deliver.routing_key, "key");
}

TEST(AmqpMethod, RefusesWhatAClientNeverHears) {
    std::string payload;
    Writer(payload).u32(90U << 16 | 10U);  // tx.select.

    EXPECT_FALSE(decode_method(payload));
}

TEST(AmqpContent, KeepsAllPropertiesAndSplitsTheBody) {
    const Properties properties{.content_type = "application/json",
                                .content_encoding = "identity",
                                .headers = {{"a", std::int32_t{1}}},
                                .delivery_mode = 2,
                                .priority = 9,
                                .correlation_id = "c",
                                .reply_to = "r",
                                .expiration = "1000",
                                .message_id = "m",
                                .timestamp = 1700000000,
                                .type = "t",
                                .user_id = "u",
                                .app_id = "app",
                                .cluster_id = "cluster"};
    const std::string body(10000, 'x');
    std::string bytes;
    publish(bytes, 3, 4096, "exchange", "key", properties, body);
    FrameReader reader;

    reader.feed(bytes);
    const auto frames = frames_of(reader);

    ASSERT_EQ(frames.size(), 5U);  // Method, header, 4,088 + 4,088 + 1,824 bytes.
    const auto header = decode_header(frames[1].payload);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->body_size, 10000U);
    EXPECT_EQ(header->properties, properties);
    std::string joined;
    for (std::size_t i = 2; i < frames.size(); ++i) {
        EXPECT_EQ(frames[i].type, FrameType::body);
        joined += frames[i].payload;
    }
    EXPECT_EQ(joined, body);
}

TEST(AmqpContent, AnEmptyBodyHasNoFrame) {
    std::string bytes;
    publish(bytes, 1, 4096, "", "key", {}, "");
    FrameReader reader;

    reader.feed(bytes);

    EXPECT_EQ(frames_of(reader).size(), 2U);
}

TEST(AmqpContent, LeavesOutATableOfHeadersThatMakesNoSense) {
    std::string table;
    Writer(table).short_string("x").u8('?').u32(0);
    std::string bytes;
    Writer(bytes).u16(60).u16(0).u64(5).u16(1U << 13 | 1U << 7).long_string(table).short_string("id");

    const auto header = decode_header(bytes);

    ASSERT_TRUE(header);
    EXPECT_TRUE(header->headers_lost);
    EXPECT_TRUE(header->properties.headers.empty());
    EXPECT_EQ(header->properties.message_id, "id");
    EXPECT_EQ(header->body_size, 5U);
}

TEST(AmqpContent, RefusesABrokenHeader) {
    std::string good;
    Writer(good).u16(60).u16(0).u64(1).u16(1U << 15).short_string("text/plain");
    std::string unknown_flag;
    Writer(unknown_flag).u16(60).u16(0).u64(1).u16(1);
    ASSERT_TRUE(decode_header(good));

    EXPECT_FALSE(decode_header(unknown_flag));
    EXPECT_FALSE(decode_header(good + "more"));
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_header(std::string_view(good).substr(0, size))) << size;
    }
}

}  // namespace
}  // namespace boardbus::transport::amqp

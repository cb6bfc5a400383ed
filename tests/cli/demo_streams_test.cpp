// SPDX-License-Identifier: Apache-2.0
#include "cli/demo_streams.h"

#include <gtest/gtest.h>

#include <span>

namespace boardbus::cli {
namespace {

TEST(BodyBytes, ChunksComeApartWhereverTheyAreCut) {
    const std::string whole = "5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n";

    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        BodyBytes bytes(true);
        std::string received = whole.substr(0, cut);
        std::string body;
        ASSERT_TRUE(bytes.take(received, body));
        received += whole.substr(cut);
        ASSERT_TRUE(bytes.take(received, body));

        EXPECT_EQ(body, "hello 0123456789") << cut;
        EXPECT_EQ(received, "");
    }
}

TEST(BodyBytes, TheLastChunkEndsTheBodyAndNonsenseIsRefused) {
    std::string body;
    std::string last = "1\r\nx\r\n0\r\n\r\n";
    std::string nonsense = "data: x\r\n";

    const auto ended = BodyBytes(true).take(last, body);
    const auto refused = BodyBytes(true).take(nonsense = "zz\r\n", body);

    EXPECT_EQ(body, "x");
    EXPECT_EQ(ended.error().code, Errc::closed);
    EXPECT_EQ(refused.error().code, Errc::invalid);
}

TEST(SseEvents, ComeOutWhole) {
    std::string body = "event: a\ndata: 1\n\nevent: b\n";

    EXPECT_EQ(take_sse_event(body), "event: a\ndata: 1\n\n");
    EXPECT_EQ(take_sse_event(body), std::nullopt);
    EXPECT_EQ(body, "event: b\n");
}

TEST(ServerFrames, ComeOutWholeWhateverTheirLength) {
    for (const std::size_t length : {0U, 125U, 126U, 65535U, 65536U}) {
        std::string wire;
        web::append_frame(wire, web::Opcode::text, std::string(length, 'x'));
        std::string part = wire.substr(0, wire.size() - 1);

        const auto early = take_server_frame(part);
        const auto frame = take_server_frame(wire);

        ASSERT_TRUE(early);
        EXPECT_FALSE(*early) << length;
        ASSERT_TRUE(frame && *frame) << length;
        EXPECT_EQ((*frame)->payload.size(), length);
        EXPECT_EQ(wire, "");
    }
}

TEST(ServerFrames, MaskedFragmentedOrHugeOnesAreRefused) {
    for (std::string wire : {std::string("\x81\x80zzzz"), std::string("\x01\x00", 2), std::string("\xC1\x00", 2),
                             std::string("\x82\x7F\x7F\0\0\0\0\0\0\0", 10)}) {
        EXPECT_FALSE(take_server_frame(wire));
    }
}

TEST(ClientFrame, IsWhatTheServerReads) {
    for (const std::size_t length : {1U, 125U, 126U, 60000U}) {
        const std::string text(length, 'q');
        std::string wire = client_frame(web::Opcode::text, text, {'\x12', '\x34', '\x56', '\x78'});
        web::WsInput input;
        std::span<char> bytes(wire);

        const auto event = input.next(bytes, {.message_bytes_max = 65536});

        EXPECT_EQ(event.kind, web::WsEvent::Kind::text);
        EXPECT_EQ(event.payload, text);
    }
}

}  // namespace
}  // namespace boardbus::cli

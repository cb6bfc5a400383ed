// SPDX-License-Identifier: Apache-2.0
#include "web/ws_codec.h"

#include <gtest/gtest.h>

#include "web/ws_client_frames.h"

namespace boardbus::web {
namespace {

using namespace std::string_literals;

constexpr WsRules kRules{.message_bytes_max = 100'000};

TEST(WsInput, OwnsNoMoreThanAPointerWhenIdle) {
    EXPECT_LE(sizeof(WsInput), 2 * sizeof(void*));
}

TEST(WsInput, ReadsAServersFramesForAClient) {
    constexpr WsRules kServers{.message_bytes_max = 100'000, .sender = Sender::server};
    std::string stream;
    append_frame(stream, Opcode::text, "unmasked");
    append_frame(stream, Opcode::text, std::string(200, 'x'));
    append_frame(stream, Opcode::ping, "");
    stream += "\x01\x02in\x80\x04 two"s;
    append_close(stream, 4401, "token");

    const std::vector<std::string> read{"text unmasked", "text " + std::string(200, 'x'), "ping ", "text in two",
                                        "close 4401 token"};
    EXPECT_EQ(events_however_cut(stream, kServers), read);
    const std::vector<std::string> refused{"failure 1002"};
    EXPECT_EQ(events_however_cut(client_frame(0x81, "masked"), kServers), refused);
    EXPECT_EQ(events_however_cut(stream, kRules), refused);
}

TEST(WsInput, HandsOutAWholeFrameFromTheCallersBytes) {
    WsInput input;
    auto stream = client_frame(0x81, "zero copies");

    std::span<char> bytes(stream);
    const auto event = input.next(bytes, kRules);

    EXPECT_EQ(event.payload, "zero copies");
    EXPECT_GE(event.payload.data(), stream.data());
    EXPECT_LE(event.payload.data() + event.payload.size(), stream.data() + stream.size());
    EXPECT_FALSE(input.in_message());
    EXPECT_TRUE(bytes.empty());
}

TEST(WsInput, FreesItsMemoryWhenAMessageInPiecesHasEnded) {
    WsInput input;
    auto stream = client_frame(0x81, "in two pieces");
    std::span<char> first(stream.data(), 9);
    std::span<char> second(stream.data() + 9, stream.size() - 9);

    EXPECT_EQ(input.next(first, kRules).kind, WsEvent::Kind::none);
    EXPECT_TRUE(input.in_message());
    EXPECT_EQ(to_text(input.next(second, kRules)), "text in two pieces");
    EXPECT_EQ(input.next(second, kRules).kind, WsEvent::Kind::none);

    EXPECT_FALSE(input.in_message());
}

TEST(WsInput, LeavesTheBytesBehindAnEventForTheNextCall) {
    WsInput input;
    auto stream = client_frame(0x81, "one") + client_frame(0x81, "two");
    std::span<char> bytes(stream);

    EXPECT_EQ(to_text(input.next(bytes, kRules)), "text one");

    EXPECT_EQ(bytes.size(), client_frame(0x81, "two").size());
}

TEST(Unmask, TurnsTheKeyByTheOffset) {
    std::string expected(100, '\0');
    for (std::size_t index = 0; index < expected.size(); ++index) {
        expected[index] = static_cast<char>(static_cast<char>(index) ^ kTestKey[index % 4]);
    }
    for (std::size_t cut = 0; cut <= expected.size(); ++cut) {
        std::string text(100, '\0');
        for (std::size_t index = 0; index < text.size(); ++index) {
            text[index] = static_cast<char>(index);
        }

        unmask(std::span(text).first(cut), kTestKey);
        unmask(std::span(text).subspan(cut), kTestKey, cut);

        EXPECT_EQ(text, expected) << cut;
    }
}

TEST(AppendFrame, WritesTheFramesOfRfc6455Section5_7) {
    std::string out;
    append_frame(out, Opcode::text, "Hello");
    append_frame(out, Opcode::pong, "Hello");

    EXPECT_EQ(out, "\x81\x05Hello\x8A\x05Hello");
}

TEST(AppendFrame, MarksCompressedMessages_Rfc7692Section7_2_3) {
    std::string out;
    append_frame(out, Opcode::text, "\xF2\x48\xCD\xC9\xC9\x07\x00"s, Compressed::yes);

    EXPECT_EQ(out, "\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00"s);
}

TEST(FrameHeader, UsesTheShortestLength_Rfc6455Section5_2) {
    EXPECT_EQ(frame_header(Opcode::text, 0).view(), "\x81\x00"s);
    EXPECT_EQ(frame_header(Opcode::text, 125).view(), "\x81\x7D"s);
    EXPECT_EQ(frame_header(Opcode::text, 126).view(), "\x81\x7E\x00\x7E"s);
    EXPECT_EQ(frame_header(Opcode::text, 65535).view(), "\x81\x7E\xFF\xFF"s);
    EXPECT_EQ(frame_header(Opcode::text, 65536).view(), "\x81\x7F\x00\x00\x00\x00\x00\x01\x00\x00"s);
}

TEST(AppendClose, WritesCodeAndReason_Rfc6455Section5_5_1) {
    std::string out;
    append_close(out, close_code::kUnauthorized, "no token");
    append_close(out, close_code::kNone);

    EXPECT_EQ(out, "\x88\x0A\x11\x31no token\x88\x00"s);
}

TEST(AppendClose, CutsALongReasonAtACharacter) {
    std::string out;
    append_close(out, close_code::kNormal, std::string(122, 'r') + "\xE2\x82\xAC");
    EXPECT_EQ(out, "\x88\x7C\x03\xE8"s + std::string(122, 'r'));

    out.clear();
    append_close(out, close_code::kNormal, std::string(123, 'r') + "\xE2\x82\xAC");
    EXPECT_EQ(out, "\x88\x7D\x03\xE8"s + std::string(123, 'r'));
}

}  // namespace
}  // namespace boardbus::web

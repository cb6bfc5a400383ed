// SPDX-License-Identifier: Apache-2.0
#include "web/ws_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "web/ws_client_frames.h"
#include "web/ws_deflate.h"

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::string_literals;

constexpr WsRules kRules{.message_bytes_max = 100'000};

/// The events, which must not depend on how the bytes are cut.
std::vector<std::string> events(const std::string& stream, const WsRules& rules = kRules) {
    auto whole = events_of(stream, rules, std::max<std::size_t>(stream.size(), 1));
    for (const std::size_t piece_bytes : {1, 2, 3, 7, 13}) {
        EXPECT_EQ(events_of(stream, rules, piece_bytes), whole) << "in pieces of " << piece_bytes;
    }
    return whole;
}

TEST(WsInput, OwnsNoMoreThanAPointerWhenIdle) {
    EXPECT_LE(sizeof(WsInput), 2 * sizeof(void*));
}

TEST(WsInput, ReadsTheMaskedHelloOfRfc6455Section5_7) {
    EXPECT_THAT(events("\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"s), ElementsAre("text Hello"));
}

TEST(WsInput, ReadsAServersFramesForAClient) {
    constexpr WsRules kServers{.message_bytes_max = 100'000, .sender = Sender::server};
    std::string stream;
    append_frame(stream, Opcode::text, "unmasked");
    append_frame(stream, Opcode::text, std::string(200, 'x'));
    append_frame(stream, Opcode::ping, "");
    stream += "\x01\x02in\x80\x04 two"s;
    append_close(stream, 4401, "token");

    EXPECT_THAT(events(stream, kServers), ElementsAre("text unmasked", "text " + std::string(200, 'x'), "ping ",
                                                      "text in two", "close 4401 token"));
    EXPECT_THAT(events(client_frame(0x81, "masked"), kServers), ElementsAre("failure 1002"));
    EXPECT_THAT(events(stream), ElementsAre("failure 1002"));
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

TEST(WsInput, ReadsAllThreeLengthFormsOfRfc6455Section5_2) {
    for (const std::size_t size : {0, 1, 125, 126, 127, 65535, 65536, 100'000}) {
        const std::string payload(size, 'x');
        EXPECT_THAT(events_of(client_frame(0x81, payload), kRules, 1 << 20), ElementsAre("text " + payload)) << size;
        EXPECT_THAT(events_of(client_frame(0x81, payload), kRules, 1000), ElementsAre("text " + payload)) << size;
    }
}

TEST(WsInput, RefusesUnmaskedFrames_Rfc6455Section5_1) {
    EXPECT_THAT(events("\x81\x05Hello"s), ElementsAre("failure 1002"));
    EXPECT_THAT(events("\x89\x00"s), ElementsAre("failure 1002"));
}

TEST(WsInput, RefusesReservedBits_Rfc6455Section5_2) {
    for (const int first : {0xC1, 0xA1, 0x91, 0xF1, 0xC9, 0xC8, 0xC0}) {
        EXPECT_THAT(events(client_frame(first, "x")), ElementsAre("failure 1002")) << std::hex << first;
    }
}

TEST(WsInput, RefusesUnknownOpcodes_Rfc6455Section5_2) {
    for (const int opcode : {3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF}) {
        EXPECT_THAT(events(client_frame(0x80 | opcode, "")), ElementsAre("failure 1002")) << opcode;
    }
}

TEST(WsInput, RefusesLengthsThatAreNotShortest_Rfc6455Section5_2) {
    const auto key = "\x01\x02\x03\x04"s;
    EXPECT_THAT(events("\x81\xFE\x00\x7D"s + key), ElementsAre("failure 1002"));  // 125 in 2 bytes
    EXPECT_THAT(events("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"s + key), ElementsAre("failure 1002"));  // 65535 in 8
    EXPECT_THAT(events("\x89\xFE\x00\x05"s + key + "hello"), ElementsAre("failure 1002"));  // a ping's, too
}

TEST(WsInput, RefusesA64BitLengthWithItsHighestBit_Rfc6455Section5_2) {
    EXPECT_THAT(events("\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x01\x01\x02\x03\x04"s), ElementsAre("failure 1002"));
}

TEST(WsInput, JoinsFragments_Rfc6455Section5_4) {
    const auto stream =
        client_frame(0x01, "Hel") + client_frame(0x00, "") + client_frame(0x00, "l") + client_frame(0x80, "o");
    EXPECT_THAT(events(stream + client_frame(0x81, "next")), ElementsAre("text Hello", "text next"));
}

TEST(WsInput, JoinsEmptyFragments_Rfc6455Section5_4) {
    EXPECT_THAT(events(client_frame(0x01, "") + client_frame(0x80, "")), ElementsAre("text "));
}

TEST(WsInput, HandsOutControlFramesBetweenFragments_Rfc6455Section5_4) {
    const auto stream =
        client_frame(0x01, "Hel") + client_frame(0x89, "a") + client_frame(0x8A, "b") + client_frame(0x80, "lo");
    EXPECT_THAT(events(stream), ElementsAre("ping a", "pong b", "text Hello"));
}

TEST(WsInput, RefusesAContinuationOfNothing_Rfc6455Section5_4) {
    EXPECT_THAT(events(client_frame(0x80, "x")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x81, "x") + client_frame(0x00, "x")), ElementsAre("text x", "failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x80, "y") + client_frame(0x80, "z")),
                ElementsAre("text xy", "failure 1002"));
}

TEST(WsInput, RefusesANewMessageInsideAFragmentedOne_Rfc6455Section5_4) {
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x81, "y")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x82, "y")), ElementsAre("failure 1002"));
}

TEST(WsInput, ReadsControlFramesOfUpTo125Bytes_Rfc6455Section5_5) {
    const std::string longest(125, 'p');
    EXPECT_THAT(events(client_frame(0x89, longest) + client_frame(0x8A, "")), ElementsAre("ping " + longest, "pong "));
    EXPECT_THAT(events(client_frame(0x89, std::string(126, 'p'))), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x88, std::string(126, 'p'))), ElementsAre("failure 1002"));
}

TEST(WsInput, RefusesFragmentedControlFrames_Rfc6455Section5_5) {
    for (const int first : {0x08, 0x09, 0x0A}) {
        EXPECT_THAT(events(client_frame(first, "")), ElementsAre("failure 1002")) << first;
    }
}

TEST(WsInput, RefusesBinaryMessages) {
    EXPECT_THAT(events(client_frame(0x82, "x")), ElementsAre("failure 1003"));
    EXPECT_THAT(events(client_frame(0x02, "x")), ElementsAre("failure 1003"));
}

TEST(WsInput, TakesMessagesUpToTheLimitAndJudgesByTheHeader) {
    constexpr WsRules small{.message_bytes_max = 10};

    EXPECT_THAT(events(client_frame(0x81, "0123456789"), small), ElementsAre("text 0123456789"));
    EXPECT_THAT(events(client_frame(0x81, "0123456789X").substr(0, 6), small), ElementsAre("failure 1009"));
    EXPECT_THAT(events(client_frame(0x01, "01234") + client_frame(0x80, "56789"), small),
                ElementsAre("text 0123456789"));
    EXPECT_THAT(events(client_frame(0x01, "01234") + client_frame(0x80, "56789X").substr(0, 6), small),
                ElementsAre("failure 1009"));
    EXPECT_THAT(events("\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02\x03\x04"s, small),
                ElementsAre("failure 1009"));
}

TEST(WsInput, TakesUtf8WhateverTheFragments_Rfc6455Section8_1) {
    const auto text = "\xCE\xBA\xE1\xBD\xB9\xF0\x9F\x8E\x89"s;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        const auto stream = client_frame(0x01, text.substr(0, cut)) + client_frame(0x80, text.substr(cut));
        EXPECT_THAT(events(stream), ElementsAre("text " + text)) << cut;
    }
}

TEST(WsInput, RefusesTextThatIsNotUtf8_Rfc6455Section8_1) {
    for (const auto& text : {"\xC0\xAF"s, "\xED\xA0\x80"s, "\xF4\x90\x80\x80"s, "a\x80"s, "\xFF"s, "\xE1\xBD"s}) {
        EXPECT_THAT(events(client_frame(0x81, text)), ElementsAre("failure 1007")) << text;
        EXPECT_THAT(events(client_frame(0x01, text) + client_frame(0x80, "")), ElementsAre("failure 1007")) << text;
    }
}

TEST(WsInput, FailsAtTheFirstByteThatCannotBeUtf8) {
    const auto long_frame = client_frame(0x81, "\xED\xA0" + std::string(1000, 'x'));

    EXPECT_THAT(events_of(long_frame.substr(0, 9), kRules, 20), IsEmpty());
    EXPECT_THAT(events_of(long_frame.substr(0, 10), kRules, 20), ElementsAre("failure 1007"));
}

TEST(WsInput, ReadsCloseFrames_Rfc6455Section5_5_1) {
    EXPECT_THAT(events(client_frame(0x88, "")), ElementsAre("close 1005 "));
    EXPECT_THAT(events(client_frame(0x88, "\x03\xE8")), ElementsAre("close 1000 "));
    EXPECT_THAT(events(client_frame(0x88, "\x03\xE9gone")), ElementsAre("close 1001 gone"));
    EXPECT_THAT(events(client_frame(0x88, "\x03")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x88, "\x03\xE8\xFF")), ElementsAre("failure 1007"));
    EXPECT_THAT(events(client_frame(0x88, "\x03\xE8" + std::string(123, 'r'))),
                ElementsAre("close 1000 " + std::string(123, 'r')));
}

TEST(WsInput, ReadsACloseBetweenFragments_Rfc6455Section5_5_1) {
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x88, "\x03\xE8")), ElementsAre("close 1000 "));
}

TEST(WsInput, KnowsTheCloseCodesThatMayBeSent_Rfc6455Section7_4) {
    const auto close_with = [](int code) {
        const auto payload = std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
        return events_of(client_frame(0x88, payload), kRules, 100).at(0);
    };
    for (const int code :
         {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999}) {
        EXPECT_EQ(close_with(code), "close " + std::to_string(code) + " ");
    }
    for (const int code : {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
        EXPECT_EQ(close_with(code), "failure 1002") << code;
    }
}

TEST(WsInput, SwallowsEverythingAfterACloseOrFailure) {
    EXPECT_THAT(events(client_frame(0x88, "") + client_frame(0x81, "late")), ElementsAre("close 1005 "));
    EXPECT_THAT(events(client_frame(0x83, "") + client_frame(0x81, "late")), ElementsAre("failure 1002"));
}

class WsInputWithDeflate : public testing::Test {
  protected:
    Inflater inflater_;
    Deflater deflater_;
    WsRules rules_{.message_bytes_max = 1000, .inflater = &inflater_};
};

TEST_F(WsInputWithDeflate, ReadsCompressedMessages_Rfc7692Section7_2_3) {
    const auto hello = "\xF2\x48\xCD\xC9\xC9\x07\x00"s;

    EXPECT_THAT(events(client_frame(0xC1, hello), rules_), ElementsAre("text Hello"));
    EXPECT_THAT(
        events(client_frame(0x41, hello.substr(0, 3)) + client_frame(0x89, "p") + client_frame(0x80, hello.substr(3)),
               rules_),
        ElementsAre("ping p", "text Hello"));
    EXPECT_THAT(events(client_frame(0xC1, hello) + client_frame(0x81, "plain"), rules_),
                ElementsAre("text Hello", "text plain"));
}

TEST_F(WsInputWithDeflate, TakesRsv1OnTheFirstFrameOfAMessageOnly_Rfc7692Section6) {
    EXPECT_THAT(events(client_frame(0x41, "x") + client_frame(0xC0, "y"), rules_), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0xC9, ""), rules_), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0xE1, ""), rules_), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0xC2, ""), rules_), ElementsAre("failure 1003"));
}

TEST_F(WsInputWithDeflate, JudgesTheInflatedMessage) {
    const std::string at_limit(1000, 'a');

    EXPECT_THAT(events(client_frame(0xC1, deflater_.deflate(at_limit)), rules_), ElementsAre("text " + at_limit));
    EXPECT_THAT(events(client_frame(0xC1, deflater_.deflate(at_limit + "a")), rules_), ElementsAre("failure 1009"));
    EXPECT_THAT(events(client_frame(0xC1, deflater_.deflate("\xFF\xFE")), rules_), ElementsAre("failure 1007"));
    EXPECT_THAT(events(client_frame(0xC1, "\xFF\xFF\xFF"), rules_), ElementsAre("failure 1007"));
}

TEST_F(WsInputWithDeflate, BoundsTheCompressedBytesToo) {
    EXPECT_THAT(events(client_frame(0xC1, std::string(1189, 'x')).substr(0, 8), rules_),
                IsEmpty());  // 1000 + 1000 / 8 + 64 = 1189
    EXPECT_THAT(events(client_frame(0xC1, std::string(1190, 'x')).substr(0, 8), rules_), ElementsAre("failure 1009"));
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

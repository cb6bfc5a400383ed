// RFC 6455 §5: frames, their lengths and masks, fragments, control frames. Every stream is cut in every way that
// events_however_cut() knows.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "web/ws_client_frames.h"
#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::string_literals;

constexpr WsRules kRules{.message_bytes_max = 100'000};
constexpr WsRules kSmall{.message_bytes_max = 10};

std::vector<std::string> events(const std::string& stream, const WsRules& rules = kRules) {
    return events_however_cut(stream, rules);
}

/// A masked frame's header with the length in so many bytes, minimal or not. The key is zero.
std::string header_with_length(int first, std::size_t length_bytes, std::uint64_t length) {
    std::string header(1, static_cast<char>(first));
    header.push_back(static_cast<char>(0x80 | (length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : length)));
    for (std::size_t index = length_bytes; index-- > 0;) {
        header.push_back(static_cast<char>(length >> (index * 8) & 0xFF));
    }
    return header + std::string(4, '\0');
}

TEST(Rfc6455Section5_1, AFrameWithoutAMaskIsRefusedWhateverItIs) {
    for (const int first : {0x81, 0x01, 0x80, 0x82, 0x88, 0x89, 0x8A}) {
        EXPECT_THAT(events(std::string{static_cast<char>(first), '\0'}), ElementsAre("failure 1002")) << first;
    }
    EXPECT_THAT(events("\x81\x05Hello"s), ElementsAre("failure 1002"));
    EXPECT_THAT(events("\x81\x7E\x00\x80"s + std::string(128, 'x')), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "masked") + "\x80\x01x"s), ElementsAre("failure 1002"));
}

TEST(Rfc6455Section5_2, AllThreeLengthFormsAreRead) {
    for (const std::size_t size : {0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 100'000}) {
        const std::string payload(size, 'x');
        for (const std::size_t piece_bytes : {std::size_t{1} << 20, std::size_t{1000}, std::size_t{1}}) {
            EXPECT_THAT(events_of(client_frame(0x81, payload), kRules, piece_bytes), ElementsAre("text " + payload))
                << size << " bytes in pieces of " << piece_bytes;
        }
    }
}

TEST(Rfc6455Section5_2, ALengthThatIsNotInItsShortestFormIsRefused) {
    for (const std::uint64_t length : {0, 1, 125}) {
        EXPECT_THAT(events(header_with_length(0x81, 2, length)), ElementsAre("failure 1002")) << length;
        EXPECT_THAT(events(header_with_length(0x89, 2, length)), ElementsAre("failure 1002")) << "ping " << length;
    }
    for (const std::uint64_t length : {0, 125, 126, 65535}) {
        EXPECT_THAT(events(header_with_length(0x81, 8, length)), ElementsAre("failure 1002")) << length;
        EXPECT_THAT(events(header_with_length(0x88, 8, length)), ElementsAre("failure 1002")) << "close " << length;
    }
}

TEST(Rfc6455Section5_2, A64BitLengthWithItsHighestBitIsRefused) {
    EXPECT_THAT(events(header_with_length(0x81, 8, std::uint64_t{1} << 63)), ElementsAre("failure 1002"));
    EXPECT_THAT(events(header_with_length(0x81, 8, UINT64_MAX)), ElementsAre("failure 1002"));
}

TEST(Rfc6455Section5_2, ReservedBitsWithoutAnExtensionAreRefused) {
    for (const int opcode : {0x0, 0x1, 0x2, 0x8, 0x9, 0xA}) {
        for (int reserved = 0x10; reserved <= 0x70; reserved += 0x10) {
            EXPECT_THAT(events(client_frame(0x80 | reserved | opcode, "x")), ElementsAre("failure 1002"))
                << std::hex << reserved << " of opcode " << opcode;
        }
    }
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0xC0, "y")), ElementsAre("failure 1002"));
}

TEST(Rfc6455Section5_2, OpcodesThatAreReservedAreRefused) {
    for (const int opcode : {3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF}) {
        for (const int first : {0x80 | opcode, opcode}) {
            EXPECT_THAT(events(client_frame(first, "")), ElementsAre("failure 1002")) << std::hex << first;
            EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(first, "y")), ElementsAre("failure 1002"))
                << std::hex << first << " inside a message";
        }
    }
}

TEST(Rfc6455Section5_3, EveryKeyUnmasks) {
    for (const std::array<char, 4> key :
         {std::array<char, 4>{0, 0, 0, 0}, {'\xFF', '\xFF', '\xFF', '\xFF'}, {1, 0, 0, 0}, {0, 0, 0, '\x80'}}) {
        EXPECT_THAT(events(client_frame(0x01, "sixteen bytes, a", key) + client_frame(0x80, "nd nine.", kTestKey)),
                    ElementsAre("text sixteen bytes, and nine."));
    }
}

TEST(Rfc6455Section5_4, FragmentsAreJoined) {
    const auto stream =
        client_frame(0x01, "Hel") + client_frame(0x00, "") + client_frame(0x00, "l") + client_frame(0x80, "o");
    EXPECT_THAT(events(stream + client_frame(0x81, "next")), ElementsAre("text Hello", "text next"));
    EXPECT_THAT(events(client_frame(0x01, "all") + client_frame(0x80, "")), ElementsAre("text all"));
    EXPECT_THAT(events(client_frame(0x01, "") + client_frame(0x80, "all")), ElementsAre("text all"));
}

TEST(Rfc6455Section5_4, EmptyFragmentsAreAMessage) {
    EXPECT_THAT(events(client_frame(0x01, "") + client_frame(0x80, "")), ElementsAre("text "));
    std::string many = client_frame(0x01, "");
    for (int count = 0; count < 50; ++count) {
        many += client_frame(0x00, "");
    }
    EXPECT_THAT(events(many + client_frame(0x80, "x") + client_frame(0x81, "y")), ElementsAre("text x", "text y"));
}

TEST(Rfc6455Section5_4, ControlFramesMayComeBetweenFragments) {
    const auto stream = client_frame(0x89, "0") + client_frame(0x01, "Hel") + client_frame(0x89, "a") +
                        client_frame(0x8A, "b") + client_frame(0x00, "l") + client_frame(0x89, "") +
                        client_frame(0x80, "o");
    EXPECT_THAT(events(stream), ElementsAre("ping 0", "ping a", "pong b", "ping ", "text Hello"));
}

TEST(Rfc6455Section5_4, AContinuationOfNothingIsRefused) {
    EXPECT_THAT(events(client_frame(0x80, "x")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x00, "x")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x80, "")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x81, "x") + client_frame(0x00, "x")), ElementsAre("text x", "failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x80, "y") + client_frame(0x80, "z")),
                ElementsAre("text xy", "failure 1002"));
}

TEST(Rfc6455Section5_4, ANewMessageInsideAFragmentedOneIsRefused) {
    for (const int first : {0x81, 0x01, 0x82, 0x02}) {
        EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(first, "y")), ElementsAre("failure 1002")) << first;
        EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x89, "p") + client_frame(first, "y")),
                    ElementsAre("ping p", "failure 1002"))
            << first;
    }
}

TEST(Rfc6455Section5_5, ControlFramesHaveAtMost125Bytes) {
    const std::string longest(125, 'p');
    EXPECT_THAT(events(client_frame(0x89, longest) + client_frame(0x8A, longest)),
                ElementsAre("ping " + longest, "pong " + longest));
    for (const int first : {0x88, 0x89, 0x8A}) {
        EXPECT_THAT(events(client_frame(first, std::string(126, 'p'))), ElementsAre("failure 1002")) << first;
        EXPECT_THAT(events_of(header_with_length(first, 8, 65536), kRules, 100), ElementsAre("failure 1002")) << first;
    }
}

TEST(Rfc6455Section5_5, ControlFramesAreNotFragmented) {
    for (const int first : {0x08, 0x09, 0x0A}) {
        EXPECT_THAT(events(client_frame(first, "")), ElementsAre("failure 1002")) << first;
        EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(first, "y")), ElementsAre("failure 1002")) << first;
    }
}

TEST(Rfc6455Section5_5_2, PingsAndPongsCarryAnyBytes) {
    std::string all;
    for (int byte = 0x80; byte < 0x80 + 125; ++byte) {
        all.push_back(static_cast<char>(byte));
    }
    EXPECT_THAT(events(client_frame(0x89, all) + client_frame(0x8A, all)), ElementsAre("ping " + all, "pong " + all));
    EXPECT_THAT(events(client_frame(0x89, "") + client_frame(0x8A, "")), ElementsAre("ping ", "pong "));
}

TEST(Rfc6455Section5_6, BinaryMessagesAreRefusedWith1003) {
    EXPECT_THAT(events(client_frame(0x82, "x")), ElementsAre("failure 1003"));
    EXPECT_THAT(events(client_frame(0x82, "")), ElementsAre("failure 1003"));
    EXPECT_THAT(events(client_frame(0x02, "x")), ElementsAre("failure 1003"));
    EXPECT_THAT(events_of(header_with_length(0x82, 8, INT64_MAX), kSmall, 100), ElementsAre("failure 1003"));
}

TEST(Rfc6455Section5_7, TheExamplesAreRead) {
    EXPECT_THAT(events("\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"s), ElementsAre("text Hello"));
    EXPECT_THAT(events("\x8A\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"s), ElementsAre("pong Hello"));
}

TEST(Rfc6455Section10_4, AMessageOfExactlyTheLimitIsTakenAndOneByteMoreIsJudgedByItsHeader) {
    EXPECT_THAT(events(client_frame(0x81, "0123456789"), kSmall), ElementsAre("text 0123456789"));
    EXPECT_THAT(events(client_frame(0x81, "0123456789X").substr(0, 6), kSmall), ElementsAre("failure 1009"));
    for (const std::uint64_t length : {std::uint64_t{1} << 16, std::uint64_t{1} << 32, std::uint64_t{INT64_MAX}}) {
        EXPECT_THAT(events(header_with_length(0x81, 8, length), kSmall), ElementsAre("failure 1009")) << length;
    }
    EXPECT_THAT(events(header_with_length(0x81, 2, 126), kSmall), ElementsAre("failure 1009"));
}

TEST(Rfc6455Section10_4, TheLimitIsThatOfTheWholeMessageWhateverItsFragments) {
    for (std::size_t cut = 0; cut <= 10; ++cut) {
        const auto first = client_frame(0x01, "0123456789"s.substr(0, cut));
        EXPECT_THAT(events(first + client_frame(0x89, "p") + client_frame(0x80, "0123456789"s.substr(cut)), kSmall),
                    ElementsAre("ping p", "text 0123456789"))
            << cut;
        EXPECT_THAT(events(first + client_frame(0x80, "0123456789X"s.substr(cut)).substr(0, 6), kSmall),
                    ElementsAre("failure 1009"))
            << cut;
        EXPECT_THAT(events(first + header_with_length(0x80, 8, INT64_MAX), kSmall), ElementsAre("failure 1009")) << cut;
    }
    EXPECT_THAT(events(client_frame(0x01, "0123456789") + client_frame(0x00, "") + client_frame(0x80, ""), kSmall),
                ElementsAre("text 0123456789"));
}

TEST(Rfc6455Section10_4, TheNextMessageHasTheWholeLimitAgain) {
    EXPECT_THAT(events(client_frame(0x01, "01234") + client_frame(0x80, "56789") + client_frame(0x81, "abcdefghij") +
                           client_frame(0x01, "a") + client_frame(0x80, "bcdefghij"),
                       kSmall),
                ElementsAre("text 0123456789", "text abcdefghij", "text abcdefghij"));
}

TEST(Rfc6455Section7_1_7, NothingIsReadBehindAFailureOrAClose) {
    EXPECT_THAT(events(client_frame(0x83, "") + client_frame(0x81, "late")), ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x81, "y") + client_frame(0x80, "late")),
                ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x88, "") + client_frame(0x81, "late") + client_frame(0x88, "")),
                ElementsAre("close 1005 "));
    EXPECT_THAT(events(client_frame(0x81, "0123456789X") + client_frame(0x81, "late"), kSmall),
                ElementsAre("failure 1009"));
}

TEST(Rfc6455Section5, AnUnfinishedFrameIsNoEvent) {
    const auto whole = client_frame(0x81, std::string(300, 'x'));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THAT(events_of_pieces({std::string_view(whole).substr(0, size)}, kRules), IsEmpty()) << size;
    }
}

}  // namespace
}  // namespace boardbus::web

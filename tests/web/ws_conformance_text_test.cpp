// RFC 6455 §8.1 and §7.4: text is UTF-8 to the byte, close frames carry what they may.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bitset>

#include "web/ws_client_frames.h"
#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::string_literals;

constexpr WsRules kRules{.message_bytes_max = 100'000};

std::vector<std::string> events(const std::string& stream) {
    return events_however_cut(stream, kRules);
}

/// The first and last character of every class of sequences in RFC 3629 §4, and of the planes' ends.
const std::vector<std::string> kGood{
    "\x00"s,
    "\x7F"s,
    "\xC2\x80"s,
    "\xDF\xBF"s,
    "\xE0\xA0\x80"s,
    "\xE0\xBF\xBF"s,
    "\xE1\x80\x80"s,
    "\xEC\xBF\xBF"s,
    "\xED\x80\x80"s,
    "\xED\x9F\xBF"s,
    "\xEE\x80\x80"s,
    "\xEF\xBF\xBD"s,
    "\xEF\xBF\xBF"s,
    "\xF0\x90\x80\x80"s,
    "\xF0\xBF\xBF\xBF"s,
    "\xF1\x80\x80\x80"s,
    "\xF3\xBF\xBF\xBF"s,
    "\xF4\x80\x80\x80"s,
    "\xF4\x8F\xBF\xBF"s,
};

/// What begins well and goes wrong, with the number of bytes after which it cannot be UTF-8 any more.
struct Broken {
    std::string text;
    std::size_t bad_at;
};
const std::vector<Broken> kBroken{
    {"\x80"s, 1},
    {"\xBF"s, 1},
    {"\xC0\x80"s, 1},
    {"\xC1\xBF"s, 1},
    {"\xF5\x80\x80\x80"s, 1},
    {"\xF8\x88\x80\x80\x80"s, 1},
    {"\xFE"s, 1},
    {"\xFF"s, 1},
    {"\xC2\x41"s, 2},
    {"\xC2\xC2"s, 2},
    {"\xE0\x80\x80"s, 2},
    {"\xE0\x9F\xBF"s, 2},
    {"\xE1\x41\x80"s, 2},
    {"\xED\xA0\x80"s, 2},
    {"\xED\xBF\xBF"s, 2},
    {"\xF0\x80\x80\x80"s, 2},
    {"\xF0\x8F\xBF\xBF"s, 2},
    {"\xF4\x90\x80\x80"s, 2},
    {"\xF1\xC0\x80\x80"s, 2},
    {"\xE1\x80\x41"s, 3},
    {"\xEF\xBF\xC0"s, 3},
    {"\xF0\x90\x41\x80"s, 3},
    {"\xF4\x8F\xBF\x41"s, 4},
    {"\xF1\x80\x80\xFF"s, 4},
};

TEST(Rfc6455Section8_1, EveryClassOfSequencesIsTakenAtEverySplit) {
    for (const auto& text : kGood) {
        EXPECT_THAT(events(client_frame(0x81, text)), ElementsAre("text " + text));
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
            const auto stream = client_frame(0x01, "a" + text.substr(0, cut)) + client_frame(0x89, "p") +
                                client_frame(0x80, text.substr(cut) + "b");
            EXPECT_THAT(events(stream), ElementsAre("ping p", "text a" + text + "b")) << cut;
        }
    }
}

TEST(Rfc6455Section8_1, AnUnfinishedSequenceIsRefusedAtTheEndOfTheMessage) {
    for (const auto& text : kGood) {
        for (std::size_t size = 1; size < text.size(); ++size) {
            const auto begun = text.substr(0, size);
            EXPECT_THAT(events(client_frame(0x81, begun)), ElementsAre("failure 1007"));
            EXPECT_THAT(events(client_frame(0x01, begun) + client_frame(0x80, "")), ElementsAre("failure 1007"));
            EXPECT_THAT(events(client_frame(0x01, "") + client_frame(0x80, begun)), ElementsAre("failure 1007"));
            EXPECT_THAT(events(client_frame(0x01, begun) + client_frame(0x80, "A")), ElementsAre("failure 1007"));
        }
    }
}

TEST(Rfc6455Section8_1, WhatIsNotUtf8IsRefusedAtEverySplit) {
    for (const auto& [text, bad_at] : kBroken) {
        EXPECT_THAT(events(client_frame(0x81, text)), ElementsAre("failure 1007"));
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
            EXPECT_THAT(events(client_frame(0x01, text.substr(0, cut)) + client_frame(0x80, text.substr(cut))),
                        ElementsAre("failure 1007"))
                << cut;
        }
    }
}

TEST(Rfc6455Section8_1, AMessageFailsAtTheFirstByteThatCannotBeRight) {
    for (const auto& [text, bad_at] : kBroken) {
        // Long, so that neither the frame nor the message has ended when the byte comes.
        const auto frame = client_frame(0x01, "0123456789" + text + std::string(200, 'x'));
        const std::size_t head = frame.size() - 200 - text.size();
        for (const std::size_t piece_bytes : {1, 5, 1000}) {
            EXPECT_THAT(events_of(frame.substr(0, head + bad_at - 1), kRules, piece_bytes), IsEmpty());
            EXPECT_THAT(events_of(frame.substr(0, head + bad_at), kRules, piece_bytes), ElementsAre("failure 1007"));
        }
    }
}

TEST(Rfc6455Section8_1, ASequenceDoesNotReachIntoTheNextMessage) {
    EXPECT_THAT(events(client_frame(0x81, "\xC3\xA9") + client_frame(0x81, "\xA9")),
                ElementsAre("text \xC3\xA9", "failure 1007"));
}

TEST(Rfc6455Section5_5_1, ACloseFrameCarriesNothingOrACodeAndAReason) {
    EXPECT_THAT(events(client_frame(0x88, "")), ElementsAre("close 1005 "));
    EXPECT_THAT(events(client_frame(0x88, close_payload(1000))), ElementsAre("close 1000 "));
    EXPECT_THAT(events(client_frame(0x88, close_payload(1001, "gone"))), ElementsAre("close 1001 gone"));
    EXPECT_THAT(events(client_frame(0x88, close_payload(1000, std::string(123, 'r')))),
                ElementsAre("close 1000 " + std::string(123, 'r')));
    for (int byte = 0; byte < 256; ++byte) {
        EXPECT_THAT(events(client_frame(0x88, std::string(1, static_cast<char>(byte)))), ElementsAre("failure 1002"));
    }
}

TEST(Rfc6455Section5_5_1, AReasonIsUtf8) {
    for (const auto& text : kGood) {
        EXPECT_THAT(events(client_frame(0x88, close_payload(1000, text))), ElementsAre("close 1000 " + text));
        if (text.size() > 1) {
            EXPECT_THAT(events(client_frame(0x88, close_payload(1000, text.substr(0, text.size() - 1)))),
                        ElementsAre("failure 1007"));
        }
    }
    for (const auto& one : kBroken) {
        EXPECT_THAT(events(client_frame(0x88, close_payload(4000, one.text))), ElementsAre("failure 1007"));
    }
}

TEST(Rfc6455Section5_5_1, ACloseMayComeBetweenFragments) {
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0x88, close_payload(1000))), ElementsAre("close 1000 "));
    EXPECT_THAT(events(client_frame(0x01, "\xC3") + client_frame(0x88, "")), ElementsAre("close 1005 "));
}

TEST(Rfc6455Section7_4, OfAll65536CodesThoseThatMayBeSentAreTaken) {
    std::bitset<65536> allowed;
    for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}) {
        allowed.set(static_cast<std::size_t>(code));  // §7.4.1 and the registry of §11.7; not 1004 to 1006 and 1015.
    }
    for (std::size_t code = 3000; code <= 4999; ++code) {
        allowed.set(code);  // §7.4.2.
    }
    for (int code = 0; code <= 65535; ++code) {
        const auto expected =
            allowed[static_cast<std::size_t>(code)] ? "close " + std::to_string(code) + " why" : "failure 1002";
        ASSERT_THAT(events_of(client_frame(0x88, close_payload(code, "why")), kRules, 200), ElementsAre(expected));
    }
}

}  // namespace
}  // namespace boardbus::web

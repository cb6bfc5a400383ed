// RFC 7692: what is agreed on, and which compressed messages are read. The blocks are zlib's, made as other programs make
// theirs, and some are made by hand.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "web/ws_client_frames.h"
#include "web/ws_deflate.h"

namespace boardbus::web {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::string_literals;

constexpr std::string_view kBasicAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const auto kHello = "\xF2\x48\xCD\xC9\xC9\x07\x00"s;

/// The answer's text, or "declined".
std::string answer(std::string_view offers) {
    const auto agreed = agree_on_deflate(offers);
    return agreed ? agreed->response : "declined";
}

std::string offer(std::string_view parameters) {
    return std::string("permessage-deflate; ").append(parameters);
}

struct Style {
    int level = Z_DEFAULT_COMPRESSION;
    int strategy = Z_DEFAULT_STRATEGY;
    int flush = Z_SYNC_FLUSH;
    int window_bits = 15;
};

/// Each text in blocks of its own, as they come out of zlib.
std::string blocks(const std::vector<std::string>& texts, const Style& style) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, style.level, Z_DEFLATED, -style.window_bits, 8, style.strategy), Z_OK);
    std::string out;
    for (const auto& text : texts) {
        std::string piece(deflateBound(&stream, text.size()) + 100, '\0');
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
        stream.avail_in = static_cast<uInt>(text.size());
        stream.next_out = reinterpret_cast<Bytef*>(piece.data());
        stream.avail_out = static_cast<uInt>(piece.size());
        ::deflate(&stream, style.flush);
        out.append(piece, 0, piece.size() - stream.avail_out);
    }
    deflateEnd(&stream);
    return out;
}

/// A message as §7.2.1 wants it: the last four bytes are left out.
std::string compressed(const std::vector<std::string>& texts, const Style& style = {}) {
    const auto all = blocks(texts, style);
    EXPECT_TRUE(all.ends_with("\x00\x00\xFF\xFF"s));
    return all.substr(0, all.size() - 4);
}

/// Text with letters of unequal frequency, for which zlib makes codes of its own (a dynamic block).
std::string prose(std::size_t size) {
    std::string text;
    for (unsigned int state = 1; text.size() < size; state = state * 1103515245 + 12345) {
        text += "eeeeettttaaaooinnshrdl ,.\n"[state >> 16 & 0xF];
        text += "etaoinshrdlucmfwypvbgkqjxz  "[state >> 20 & 0x1B];
    }
    return text.substr(0, size);
}

int block_type(std::string_view block) {
    return (block[0] >> 1) & 3;
}

class Rfc7692 : public testing::Test {
  protected:
    std::vector<std::string> events(const std::string& stream) { return events_however_cut(stream, rules_); }

    Inflater inflater_;
    WsRules rules_{.message_bytes_max = 1000, .inflater = &inflater_};
};
using Rfc7692Section6 = Rfc7692;
using Rfc7692Section7_2_2 = Rfc7692;
using Rfc7692Section7_2_3 = Rfc7692;
using Rfc7692Section8 = Rfc7692;

// What is agreed on.

TEST(Rfc7692Section7_1_1, NoContextIsTakenOverWhateverWasOffered) {
    for (const std::string_view one : {"permessage-deflate", "permessage-deflate; server_no_context_takeover",
                                       "permessage-deflate; client_no_context_takeover",
                                       "permessage-deflate; client_no_context_takeover ; server_no_context_takeover"}) {
        EXPECT_EQ(answer(one), kBasicAnswer) << one;
        EXPECT_EQ(agree_on_deflate(one)->server_window_bits, 15);
    }
    for (const std::string_view bad : {"server_no_context_takeover=1", "client_no_context_takeover=true",
                                       "server_no_context_takeover=\"server_no_context_takeover\"",
                                       "server_no_context_takeover; server_no_context_takeover",
                                       "client_no_context_takeover; x; client_no_context_takeover"}) {
        EXPECT_EQ(answer(offer(bad)), "declined") << bad;
    }
}

TEST(Rfc7692Section7_1_2_1, EveryServerWindowIsPromised) {
    for (int bits = 8; bits <= 15; ++bits) {
        for (const auto& value : {std::to_string(bits), '"' + std::to_string(bits) + '"'}) {
            const auto agreed = agree_on_deflate(offer("server_max_window_bits=" + value));
            ASSERT_TRUE(agreed) << value;
            EXPECT_EQ(agreed->server_window_bits, bits);
            EXPECT_EQ(agreed->response, std::string(kBasicAnswer) + "; server_max_window_bits=" + std::to_string(bits));
        }
    }
    for (const std::string_view value : {"", "=7", "=16", "=0", "=08", "=+9", "=-9", "=10.0", "=0x9", "=150", "=ten"}) {
        EXPECT_EQ(answer(offer("server_max_window_bits" + std::string(value))), "declined") << value;
    }
    EXPECT_EQ(answer(offer("server_max_window_bits=10; server_max_window_bits=10")), "declined");
}

TEST(Rfc7692Section7_1_2_2, EveryClientWindowIsReadAndNoneAskedFor) {
    EXPECT_EQ(answer(offer("client_max_window_bits")), kBasicAnswer);
    for (int bits = 8; bits <= 15; ++bits) {
        EXPECT_EQ(answer(offer("client_max_window_bits=" + std::to_string(bits))), kBasicAnswer);
    }
    for (const std::string_view value : {"=7", "=16", "=0", "=09", "=x"}) {
        EXPECT_EQ(answer(offer("client_max_window_bits" + std::string(value))), "declined") << value;
    }
    EXPECT_EQ(answer(offer("client_max_window_bits; client_max_window_bits=10")), "declined");
}

TEST(Rfc7692Section7_1, ParametersComeInEveryCombinationAndOrder) {
    const std::vector<std::string> parameters{"server_no_context_takeover", "client_no_context_takeover",
                                              "server_max_window_bits=12", "client_max_window_bits=9"};
    for (unsigned int chosen = 0; chosen < 16; ++chosen) {
        std::string forward = "permessage-deflate";
        std::string backward = forward;
        for (std::size_t at = 0; at < 4; ++at) {
            forward += (chosen >> at & 1) != 0 ? "; " + parameters[at] : "";
            backward += (chosen >> (3 - at) & 1) != 0 ? "; " + parameters[3 - at] : "";
        }
        const auto expected = std::string(kBasicAnswer) + ((chosen & 4) != 0 ? "; server_max_window_bits=12" : "");
        EXPECT_EQ(answer(forward), expected) << forward;
        EXPECT_EQ(answer(backward), expected) << backward;
    }
}

TEST(Rfc7692Section7_1, AnUnknownParameterDeclinesTheOffer) {
    for (const std::string_view one :
         {"unknown", "unknown=1", "Server_No_Context_Takeover", "server_max_window_bits=10; x=\"y\""}) {
        EXPECT_EQ(answer(offer(one)), "declined") << one;
    }
    for (const std::string_view other :
         {"", "x-webkit-deflate-frame", "permessage-deflate2", "permessage-bzip2; x=y"}) {
        EXPECT_EQ(answer(other), "declined") << other;
    }
}

TEST(Rfc7692Section5, TheFirstOfferThatCanBeHonouredIsAgreedOn) {
    const auto ten = std::string(kBasicAnswer) + "; server_max_window_bits=10";
    EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=10, permessage-deflate"), ten);
    EXPECT_EQ(
        answer("permessage-deflate; new_parameter, permessage-deflate; server_max_window_bits=10, permessage-deflate"),
        ten);
    EXPECT_EQ(answer("permessage-deflate; client_max_window_bits=77, permessage-deflate"), kBasicAnswer);
    EXPECT_EQ(answer("foo; bar=\"a\\b\", , permessage-deflate; unknown=1 ,permessage-deflate"), kBasicAnswer);
    EXPECT_EQ(answer("permessage-deflate; x, permessage-deflate; y"), "declined");
}

TEST(Rfc6455Section9_1, SpaceQuotesAndEmptyElementsAreRead) {
    EXPECT_EQ(answer(" permessage-deflate\t;\tclient_max_window_bits = 10 "), kBasicAnswer);
    EXPECT_EQ(answer(",, permessage-deflate;client_max_window_bits=\"15\" ,"), kBasicAnswer);
    EXPECT_EQ(agree_on_deflate(offer(R"(server_max_window_bits="1\0")"))->server_window_bits, 10);
}

// Which messages are read.

TEST_F(Rfc7692Section6, Rsv1StandsOnTheFirstFrameOfAMessageOnly) {
    EXPECT_THAT(events(client_frame(0xC1, kHello)), ElementsAre("text Hello"));
    EXPECT_THAT(events(client_frame(0x41, kHello.substr(0, 3)) + client_frame(0xC0, kHello.substr(3))),
                ElementsAre("failure 1002"));
    EXPECT_THAT(events(client_frame(0x01, "x") + client_frame(0xC0, "y")), ElementsAre("failure 1002"));
    for (const int control : {0xC8, 0xC9, 0xCA}) {
        EXPECT_THAT(events(client_frame(control, "")), ElementsAre("failure 1002")) << control;
        EXPECT_THAT(events(client_frame(0x41, kHello) + client_frame(control, "")), ElementsAre("failure 1002"))
            << control;
    }
    for (const int more_bits : {0xE1, 0xD1, 0xF1, 0xA1, 0x91}) {
        EXPECT_THAT(events(client_frame(more_bits, kHello)), ElementsAre("failure 1002")) << more_bits;
    }
    EXPECT_THAT(events(client_frame(0xC2, kHello)), ElementsAre("failure 1003"));
}

TEST_F(Rfc7692Section6, PlainAndCompressedMessagesTakeTurns) {
    EXPECT_THAT(events(client_frame(0x81, "plain") + client_frame(0xC1, kHello) + client_frame(0x01, "pl") +
                       client_frame(0x80, "ain") + client_frame(0xC1, kHello)),
                ElementsAre("text plain", "text Hello", "text plain", "text Hello"));
}

TEST_F(Rfc7692Section7_2_3, TheExamplesAreRead) {
    const auto stored = "\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00"s;
    const auto last_block = "\xF3\x48\xCD\xC9\xC9\x07\x00\x00"s;
    const auto two_blocks = "\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"s;
    for (const auto& one : {kHello, stored, last_block, two_blocks}) {
        EXPECT_THAT(events(client_frame(0xC1, one)), ElementsAre("text Hello"));
    }
    // §7.2.3.1: "Hello" in two frames. §7.2.3.2: with the window kept, the second is f2 00 11 00 00, which refers to the first.
    EXPECT_THAT(events(client_frame(0x41, kHello.substr(0, 3)) + client_frame(0x80, kHello.substr(3))),
                ElementsAre("text Hello"));
    EXPECT_THAT(events(client_frame(0xC1, kHello) + client_frame(0xC1, "\xF2\x00\x11\x00\x00"s)),
                ElementsAre("text Hello", "failure 1007"));
}

TEST_F(Rfc7692Section7_2_3, TheEmptyMessageIsOneByteAndMayBeWrittenInOtherWays) {
    EXPECT_THAT(events(client_frame(0xC1, "\0"s)), ElementsAre("text "));
    EXPECT_THAT(events(client_frame(0xC1, "\x02\x00"s)),
                ElementsAre("text "));  // A fixed block without content before it.
    EXPECT_THAT(events(client_frame(0x41, "") + client_frame(0x80, "\0"s)), ElementsAre("text "));
    EXPECT_THAT(events(client_frame(0x41, "\0"s) + client_frame(0x80, "")), ElementsAre("text "));
    // Not even the header of a block: with the tail it is 00 00 FF FF, a stored block that breaks off.
    EXPECT_THAT(events(client_frame(0xC1, "")), ElementsAre("failure 1007"));
}

TEST_F(Rfc7692Section7_2_2, StoredFixedAndDynamicBlocksAreRead) {
    const auto text = prose(900);
    const std::array<Style, 3> styles{Style{.level = 0}, {.strategy = Z_FIXED}, {}};
    for (int type = 0; type < 3; ++type) {
        const auto payload = compressed({text}, styles[static_cast<std::size_t>(type)]);
        ASSERT_EQ(block_type(payload), type);
        EXPECT_THAT(events(client_frame(0xC1, payload)), ElementsAre("text " + text)) << "block type " << type;
    }
    for (const auto& style :
         {Style{.strategy = Z_HUFFMAN_ONLY}, Style{.strategy = Z_RLE}, Style{.level = 9}, Style{.window_bits = 9}}) {
        EXPECT_THAT(events(client_frame(0xC1, compressed({text}, style))), ElementsAre("text " + text));
    }
}

TEST_F(Rfc7692Section7_2_2, ManyBlocksAreRead) {
    const std::vector<std::string> texts{"one ", prose(100), "", "two ", "one one one ", prose(200)};
    std::string joined;
    for (const auto& text : texts) {
        joined += text;
    }
    for (const int flush : {Z_SYNC_FLUSH, Z_FULL_FLUSH}) {
        EXPECT_THAT(events(client_frame(0xC1, compressed(texts, {.flush = flush}))), ElementsAre("text " + joined))
            << flush;
    }
}

TEST_F(Rfc7692Section7_2_2, BlocksMarkedAsTheLastAreRead) {
    const auto text = prose(200);
    const auto last = blocks({text}, {.flush = Z_FINISH});
    EXPECT_THAT(events(client_frame(0xC1, last + "\0"s)), ElementsAre("text " + text));
    EXPECT_THAT(events(client_frame(0xC1, last)), ElementsAre("text " + text));  // Nothing is missing from it.
    EXPECT_THAT(events(client_frame(0xC1, last + compressed({"more"}))), ElementsAre("text " + text + "more"));
    EXPECT_THAT(events(client_frame(0xC1, last + last + "\0"s)), ElementsAre("text " + text + text));
    EXPECT_THAT(events(client_frame(0xC1, last + "garbage")), ElementsAre("failure 1007"));
    EXPECT_THAT(events(client_frame(0xC1, last + "\0"s) + client_frame(0xC1, kHello)),
                ElementsAre("text " + text, "text Hello"));
}

TEST_F(Rfc7692Section7_2_2, FragmentsAreJoinedBeforeTheyAreInflated) {
    const auto payload = compressed({"a message that comes in three pieces, ", "and two blocks"});
    for (std::size_t cut = 0; cut <= payload.size(); ++cut) {
        const auto rest = payload.substr(cut);
        const auto stream = client_frame(0x41, payload.substr(0, cut)) + client_frame(0x89, "p") +
                            client_frame(0x00, rest.substr(0, rest.size() / 2)) +
                            client_frame(0x80, rest.substr(rest.size() / 2));
        EXPECT_THAT(events_of(stream, rules_, 1000),
                    ElementsAre("ping p", "text a message that comes in three pieces, and two blocks"))
            << cut;
        EXPECT_THAT(events_of(stream, rules_, 1),
                    ElementsAre("ping p", "text a message that comes in three pieces, and two blocks"))
            << cut;
    }
}

TEST_F(Rfc7692Section7_2_2, ABackReferenceBeforeTheMessageIsRefused) {
    // 10 bytes from 5 bytes back, where there is nothing; then the same behind enough text.
    const auto back = "\x42\x10\x00\x00"s;
    EXPECT_THAT(events(client_frame(0xC1, back)), ElementsAre("failure 1007"));
    EXPECT_THAT(events(client_frame(0xC1, kHello) + client_frame(0xC1, back)),
                ElementsAre("text Hello", "failure 1007"));
    EXPECT_THAT(events(client_frame(0xC1, blocks({"Hello"}, {}) + back)), ElementsAre("text HelloHelloHello"));
}

TEST_F(Rfc7692Section7_2_2, TheTailThatWasNotTakenOffIsRefused) {
    EXPECT_THAT(events(client_frame(0xC1, blocks({"Hello"}, {}))), ElementsAre("failure 1007"));
}

TEST_F(Rfc7692Section7_2_2, WhatIsNoDeflateDataIsRefused) {
    for (const auto& payload : {
             "\xFF\xFF\xFF"s,                   // A block of the reserved type.
             "\x06"s,                           // The same, with nothing behind it.
             "\x00\x05\x00\x05\x00Hello\x00"s,  // A stored block whose length and its complement differ.
             "\x00\x06\x00\xF9\xFF\x48"s,       // One that is longer than the message.
             "\x04\xFF\xFF\xFF"s,               // Impossible codes.
             "\xF2\x48"s,                       // In the middle of a fixed block.
         }) {
        EXPECT_THAT(events(client_frame(0xC1, payload)), ElementsAre("failure 1007"))
            << testing::PrintToString(payload);
        EXPECT_THAT(events(client_frame(0xC1, payload)), ElementsAre("failure 1007")) << "again";
    }
    EXPECT_THAT(events(client_frame(0xC1, kHello)), ElementsAre("text Hello")) << "after failures";
}

TEST_F(Rfc7692Section7_2_2, AMessageThatBreaksOffIsRefused) {
    const auto text = prose(600);
    for (const auto& style : {Style{}, Style{.strategy = Z_FIXED}}) {
        const auto payload = compressed({text}, style);
        std::size_t refused = 0;
        for (std::size_t size = 0; size < payload.size(); ++size) {
            const auto inflated = inflater_.inflate(payload.substr(0, size), 1000);
            refused += inflated ? 0 : 1;
            // Where it breaks off before the zeros that end the block, the tail supplies them: then it is all there.
            EXPECT_TRUE(!inflated || *inflated == text) << size;
        }
        EXPECT_GE(refused + 2, payload.size());
    }
    const auto stored = compressed({text}, {.level = 0});
    for (std::size_t size = 2; size < 600; ++size) {
        EXPECT_EQ(inflater_.inflate(stored.substr(0, size), 1000), std::unexpected(close_code::kBadText)) << size;
    }
}

TEST_F(Rfc7692Section8, TheLimitIsThatOfTheInflatedMessage) {
    for (const auto& text : {std::string(1000, 'a'), prose(1000)}) {
        const auto fits = compressed({text});
        const auto too_long = compressed({text + "b"});
        EXPECT_THAT(events(client_frame(0xC1, fits)), ElementsAre("text " + text));
        EXPECT_THAT(events(client_frame(0xC1, too_long)), ElementsAre("failure 1009"));
        EXPECT_THAT(events(client_frame(0x41, fits.substr(0, 4)) + client_frame(0x80, fits.substr(4))),
                    ElementsAre("text " + text));
        EXPECT_THAT(events(client_frame(0x41, too_long.substr(0, 4)) + client_frame(0x80, too_long.substr(4))),
                    ElementsAre("failure 1009"));
        EXPECT_THAT(events(client_frame(0xC1, blocks({text}, {.flush = Z_FINISH}) + compressed({"b"}))),
                    ElementsAre("failure 1009"));
    }
    EXPECT_THAT(events(client_frame(0xC1, compressed({std::string(4 << 20, '\0')}))), ElementsAre("failure 1009"))
        << "a bomb";
}

TEST_F(Rfc7692Section8, TheCompressedBytesAreBoundedByTheirAnnouncement) {
    // 1000 + 1000 / 8 + 64 = 1189: what is longer on the wire than any honest compressor makes it.
    const auto head_of = [](std::size_t size) { return client_frame(0xC1, std::string(size, 'x')).substr(0, 8); };
    EXPECT_THAT(events(head_of(1189)), IsEmpty());
    EXPECT_THAT(events(head_of(1190)), ElementsAre("failure 1009"));
    EXPECT_THAT(events(client_frame(0x41, "x") + "\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s + "mask"),
                ElementsAre("failure 1009"));
}

TEST_F(Rfc7692Section8, NoiseOfExactlyTheLimitFits) {
    const auto noise = compressed({prose(1000)}, {.level = 0});
    EXPECT_GT(noise.size(), 1000);
    EXPECT_THAT(events(client_frame(0xC1, noise)), ElementsAre("text " + prose(1000)));
}

TEST_F(Rfc7692Section8, TheInflatedTextIsUtf8) {
    for (const auto& text : {"\xFF\xFE"s, "\xC3"s, "a\xED\xA0\x80"s}) {
        EXPECT_THAT(events(client_frame(0xC1, compressed({text}))), ElementsAre("failure 1007"));
    }
    EXPECT_THAT(events(client_frame(0xC1, compressed({"\xC3"s, "\xA9"s}))), ElementsAre("text \xC3\xA9"));
}

// What we write.

TEST(Rfc7692Section7_2_1, OurPayloadIsReadByAnyInflaterBehindTheTail) {
    Deflater deflater;
    for (const auto& text : {""s, "Hello"s, prose(70'000)}) {
        const auto payload = std::string(deflater.deflate(text)) + "\x00\x00\xFF\xFF"s;
        z_stream stream{};
        ASSERT_EQ(inflateInit2(&stream, -15), Z_OK);
        std::string out(text.size() + 1, '\0');
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
        stream.avail_in = static_cast<uInt>(payload.size());
        stream.next_out = reinterpret_cast<Bytef*>(out.data());
        stream.avail_out = static_cast<uInt>(out.size());
        EXPECT_EQ(::inflate(&stream, Z_SYNC_FLUSH), Z_OK);
        EXPECT_EQ(stream.avail_in, 0U);
        EXPECT_NE(stream.data_type & 128, 0) << "it does not end behind a block";
        EXPECT_EQ(out.substr(0, out.size() - stream.avail_out), text);
        inflateEnd(&stream);
    }
}

}  // namespace
}  // namespace boardbus::web

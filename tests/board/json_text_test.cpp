// SPDX-License-Identifier: Apache-2.0
#include "board/json_text.h"

#include <gtest/gtest.h>

#include "board/json.h"

namespace boardbus::board::json {
namespace {

std::string in_quotes(std::string_view text) {
    std::string out;
    append_quoted(out, text);
    return out;
}

TEST(DecodeString, ReadsEveryEscape) {
    EXPECT_EQ(decode_string(R"("")"), "");
    EXPECT_EQ(decode_string(R"("plain é")"), "plain é");
    EXPECT_EQ(decode_string(R"("a\"\\\/\b\f\n\r\tz")"), "a\"\\/\b\f\n\r\tz");
    EXPECT_EQ(decode_string(R"("\u0041\u00e9\u20AC\ud83d\ude00!")"), "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!");
    EXPECT_EQ(decode_string(R"("\udbff\udfff\uffff")"), "\xF4\x8F\xBF\xBF\xEF\xBF\xBF");
    EXPECT_EQ(decode_string(R"("\u0000")"), std::string(1, '\0'));
}

TEST(DecodeString, RefusesHalfASurrogatePair) {
    for (const char* text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\ud800")",
                             R"("\ud83d \ude00")", R"("\ude00\ud83d")", R"("\ud800\u0041")", R"("a\uDBFF")"}) {
        EXPECT_EQ(decode_string(text), std::nullopt) << text;
    }
}

TEST(AppendQuoted, EscapesWhatWouldBreakAStringOrALine) {
    using namespace std::string_literals;

    EXPECT_EQ(in_quotes("plain é <b>/"), "\"plain é <b>/\"");
    EXPECT_EQ(in_quotes("a\"b\\c"), R"("a\"b\\c")");
    EXPECT_EQ(in_quotes("\b\f\n\r\t\v\x1F\x7F\0"s), "\"\\b\\f\\n\\r\\t\\u000b\\u001f\x7F\\u0000\"");
    EXPECT_EQ(in_quotes("\xE2\x80\xA8x\xE2\x80\xA9\xE2\x82\xAC\xE2\x80\xA7"),
              "\"\\u2028x\\u2029\xE2\x82\xAC\xE2\x80\xA7\"");
}

TEST(AppendQuoted, IsReadBackAsTheSameText) {
    std::string text;
    for (int byte = 0; byte < 0x80; ++byte) {
        text += static_cast<char>(byte);
    }
    text += "é€😀\xE2\x80\xA8";

    EXPECT_TRUE(is_valid(in_quotes(text)));
    EXPECT_EQ(decode_string(in_quotes(text)), text);
}

}  // namespace
}  // namespace boardbus::board::json

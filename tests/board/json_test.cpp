// SPDX-License-Identifier: Apache-2.0
#include "board/json.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace boardbus::board::json {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

Members members_of(std::string_view text) {
    Members members;
    ObjectReader reader(text);
    while (const auto member = reader.next()) {
        members.emplace_back(member->name, member->value.text);
    }
    EXPECT_TRUE(reader.good()) << reader.problem();
    return members;
}

std::string problem_of(std::string_view text) {
    ObjectReader reader(text);
    while (reader.next()) {
    }
    EXPECT_EQ(reader.good(), reader.problem().empty());
    return reader.problem();
}

std::string compact(std::string_view text) {
    const std::string wrapped = "{\"v\":" + std::string(text) + "}";
    ObjectReader reader(wrapped);
    const auto member = reader.next();
    EXPECT_TRUE(member) << reader.problem();
    std::string out;
    append_compact(out, member->value);
    return out;
}

std::string nested(int levels) {
    return std::string(levels, '[') + std::string(levels, ']');
}

TEST(Json, TakesEveryKindOfValue) {
    for (const char* text : {"0",
                             "-0",
                             "1",
                             "-12",
                             "1.5",
                             "0.25",
                             "1e5",
                             "1E+5",
                             "2.5e-10",
                             "9007199254740993",
                             "\"\"",
                             "\"a\"",
                             "true",
                             "false",
                             "null",
                             "[]",
                             "{}",
                             "[1,[2,{\"a\":[]}],3]",
                             " { \"a\" : 1 , \"b\" : [ ] } ",
                             "\t[\r\n1 ]\n",
                             "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
                             "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
                             "\"\\ud800\"",
                             "\"\x7F\"",
                             "\"eight by\"",
                             "\"seven b\\n\"",
                             "\"0123456\\\\\""}) {
        EXPECT_TRUE(is_valid(text)) << text;
    }
}

TEST(Json, RefusesWhatIsNoJson) {
    for (const char* text : {"",
                             " ",
                             "NaN",
                             "Infinity",
                             "-Infinity",
                             "nul",
                             "nulls",
                             "True",
                             "tru",
                             "+1",
                             "01",
                             "-01",
                             "00",
                             "1.",
                             ".5",
                             "-",
                             "1e",
                             "1e+",
                             "1.e3",
                             "0x10",
                             "1_000",
                             "'a'",
                             "\"",
                             "\"a",
                             "\"a\\\"",
                             "\"\\",
                             "\"\\x\"",
                             "\"\\u12\"",
                             "\"\\u12g4\"",
                             "\"\\u\"",
                             "\"\\u1\\u1\"",
                             "\"\\\\u1\\u1\"",
                             "\"a\nb\"",
                             "\"a\tb\"",
                             "\"01234567\x01\"",
                             "[",
                             "[1",
                             "[1,",
                             "[1,]",
                             "[,1]",
                             "[1 2]",
                             "[1]]",
                             "]",
                             "{",
                             "{\"a\"",
                             "{\"a\":",
                             "{\"a\":1",
                             "{\"a\":1,",
                             "{\"a\":1,}",
                             "{,}",
                             "{a:1}",
                             "{\"a\" 1}",
                             "{\"a\":}",
                             "{1:2}",
                             "{\"a\":1 \"b\":2}",
                             "[}",
                             "{]",
                             "[1}",
                             "{\"a\":1]",
                             "1 2",
                             "{} {}",
                             "[] x",
                             "// x\n1",
                             "[1/**/]",
                             "\xEF\xBB\xBF{}",
                             "\f1",
                             "\xC2\xA0"
                             "1"}) {
        EXPECT_FALSE(is_valid(text)) << text;
        EXPECT_NE(problem_of(text), "") << text;
    }
}

TEST(Json, RefusesNulBytesInAndAroundValues) {
    using namespace std::string_literals;

    EXPECT_FALSE(is_valid("\"a\0b\""s));
    EXPECT_FALSE(is_valid("1\0"s));
    EXPECT_FALSE(is_valid("\0"s));
}

TEST(Json, RefusesInvalidUtf8InStringsAndNames) {
    for (const char* bytes : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF",
                              "a very long text first \xE2\x82", "\xC3\xA9\xC3"}) {
        EXPECT_FALSE(is_valid("\"" + std::string(bytes) + "\""));
        EXPECT_FALSE(is_valid("{\"" + std::string(bytes) + "\":1}"));
    }
    EXPECT_FALSE(is_valid("\"\xC3\\n\xA9\""));
}

TEST(Json, CountsNestingAndRefusesTheLevelAboveTheLimit) {
    EXPECT_TRUE(is_valid(nested(128)));
    EXPECT_FALSE(is_valid(nested(129)));
    EXPECT_TRUE(is_valid(nested(129), 129));
    EXPECT_EQ(problem_of("{\"a\":" + nested(127) + "}"), "");
    EXPECT_EQ(problem_of("{\"a\":" + nested(128) + "}"), "nesting too deep at byte 132");
}

TEST(Json, RefusesTenThousandLevelsWithoutRecursion) {
    EXPECT_FALSE(is_valid(nested(10'000)));
    EXPECT_FALSE(is_valid(std::string(1'000'000, '[')));
    std::string objects;
    for (int i = 0; i < 10'000; ++i) {
        objects += "{\"a\":";
    }
    EXPECT_FALSE(is_valid(objects));
}

TEST(Json, DoesNotCountSiblingsAsNesting) {
    std::string text = "[";
    for (int i = 0; i < 1000; ++i) {
        text += "[[]],{\"a\":{}},";
    }

    EXPECT_TRUE(is_valid(text + "[]]"));
}

TEST(ObjectReader, HandsOutMembersAsSentDuplicatesToo) {
    const Members members = members_of(" {\"b\" : [1, 2] ,\"a\":\"x\\n\", \"b\":12345678901234567890.10 , \"\":{}} ");

    EXPECT_EQ(members, (Members{{"b", "[1, 2]"}, {"a", "\"x\\n\""}, {"b", "12345678901234567890.10"}, {"", "{}"}}));
}

TEST(ObjectReader, DecodesNamesWithEscapes) {
    EXPECT_EQ(members_of(R"({"\u0061ction":1,"a\"b":2,"\ud83d\ude00":3})"),
              (Members{{"action", "1"}, {"a\"b", "2"}, {"\xF0\x9F\x98\x80", "3"}}));
}

TEST(ObjectReader, LeavesANameWithHalfASurrogatePairAsSent) {
    EXPECT_EQ(members_of(R"({"a\ud800":1})"), (Members{{"a\\ud800", "1"}}));
}

TEST(ObjectReader, HasNoMembersInAnEmptyObject) {
    EXPECT_EQ(members_of(" { } "), Members{});
}

TEST(ObjectReader, TellsTypesAndWhiteSpace) {
    ObjectReader reader(R"( {"a" : {"b":[1]} , "c": [1, 2], "d":"x y","e":-1,"f":true,"g":null})");
    std::string seen;
    while (const auto member = reader.next()) {
        seen += std::string(member->name) + std::to_string(static_cast<int>(member->value.type)) +
                (member->value.spaced ? "s " : " ");
    }

    EXPECT_EQ(seen, "a0 c1s d2 e3 f4 g5 ");
}

TEST(ObjectReader, SaysWhatIsWrongAndWhere) {
    EXPECT_EQ(problem_of("[]"), "not a JSON object at byte 0");
    EXPECT_EQ(problem_of(""), "not a JSON object at byte 0");
    EXPECT_EQ(problem_of("{} x"), "something follows the object at byte 3");
    EXPECT_EQ(problem_of("{\"a\":1"), "the text ends too early at byte 6");
    EXPECT_EQ(problem_of("{\"a\":NaN}"), "a value was expected at byte 5");
    EXPECT_EQ(problem_of("{\"a\":01}"), "a number begins with 0 at byte 6");
}

TEST(ObjectReader, StaysAtItsFirstProblem) {
    ObjectReader reader(R"({"a":x,"b":1})");

    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.good());
}

TEST(ObjectReader, RefusesEveryCutOfAnObject) {
    const std::string whole = R"({"a":[1,{"b":"\u00e9\n"}],"c":-1.5e+3,"d":true,"e":null})";
    for (std::size_t length = 0; length < whole.size(); ++length) {
        const std::string cut =
            whole.substr(0, length);  // Its own buffer, so that a sanitizer sees a byte read behind it.

        EXPECT_NE(problem_of(cut), "") << cut;
    }
    EXPECT_EQ(problem_of(whole), "");
}

TEST(Compact, RemovesWhiteSpaceOutsideStringsOnly) {
    EXPECT_EQ(compact("{ \"a b\" : [ 1 ,\t2\r\n] , \"c\" : \" x \\\" y \" , \"d\\\\\" : { } }"),
              "{\"a b\":[1,2],\"c\":\" x \\\" y \",\"d\\\\\":{}}");
}

TEST(Compact, KeepsTokensAsSent) {
    for (const char* text : {R"({"n":[1.0,1.10,-0,1E+400,9007199254740993,3.14159265358979323846264338327950288]})",
                             R"({"z":1,"a":2,"z":3})", R"("\u00e9\/\ud800é")", R"(["\\\\","\\\""])"}) {
        EXPECT_EQ(compact(text), text);
    }
    EXPECT_EQ(compact(R"([ "\\" , "\\\"" , 1.00 ])"), R"(["\\","\\\"",1.00])");
}

TEST(Compact, TakesAMebibyte) {
    std::string text = "[";
    while (text.size() < (1U << 20)) {
        text += "\"some text\\n\", 12345.678900 , ";
    }
    text += "0]";

    const std::string once = compact(text);

    EXPECT_LT(once.size(), text.size());
    EXPECT_EQ(compact(once), once);
}

}  // namespace
}  // namespace boardbus::board::json

// SPDX-License-Identifier: Apache-2.0
#include "telemetry/log_line.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace boardbus::telemetry {
namespace {

constexpr WallTime kTime{std::chrono::microseconds(1795425841004200)};  // 2026-11-23T09:24:01.004200Z

std::string text_value(std::string_view value) {
    const std::string line = log_line(LogFormat::text, kTime, Level::info, "e", {{"k", value}});
    return line.substr(line.find("k=") + 2);
}

std::string json_value(std::string_view value) {
    const std::string line = log_line(LogFormat::json, kTime, Level::info, "e", {{"k", value}});
    const auto start = line.find("\"k\":") + 4;
    return line.substr(start, line.size() - start - 1);
}

TEST(LogLine, ReadsWellOnATerminal) {
    const auto line =
        log_line(LogFormat::text, kTime, Level::info, "worker_ready",
                 {{"queue", std::string_view("advanced.board.events")}, {"note", std::string_view("two words")}});

    EXPECT_EQ(line, R"(2026-11-23T09:24:01.004Z INFO  worker_ready queue=advanced.board.events note="two words")");
}

TEST(LogLine, IsOneJsonObject) {
    const auto line =
        log_line(LogFormat::json, kTime, Level::error, "dead_letter",
                 {{"attempts", std::int64_t{6}}, {"ratio", 0.5}, {"ok", false}, {"id", std::string_view("a")}});

    EXPECT_EQ(line, R"({"time":"2026-11-23T09:24:01.004Z","level":"error","event":"dead_letter",)"
                    R"("attempts":6,"ratio":0.5,"ok":false,"id":"a"})");
}

TEST(LogLine, NumbersThatJsonLacksBecomeNull) {
    const auto line =
        log_line(LogFormat::json, kTime, Level::info, "e", {{"k", std::numeric_limits<double>::infinity()}});

    EXPECT_TRUE(line.ends_with(R"("k":null})")) << line;
}

TEST(LogLine, QuotesWhatIsNoWord) {
    EXPECT_EQ(text_value("plain-word_1.2:3/4"), "plain-word_1.2:3/4");
    EXPECT_EQ(text_value(""), R"("")");
    EXPECT_EQ(text_value("a=b"), R"("a=b")");
    EXPECT_EQ(text_value("say \"hi\" \\"), R"("say \"hi\" \\")");
    EXPECT_EQ(text_value("é"), "\"é\"");
}

TEST(LogLine, NoInputForgesALineOrMovesTheCursor) {
    EXPECT_EQ(text_value("a\r\n2026 ERROR x"), R"("a\r\n2026 ERROR x")");
    EXPECT_EQ(text_value("\x1b[31m\t\x7f"), R"("\u001b[31m\t\u007f")");
    EXPECT_EQ(text_value("\xc2\x9b"), R"("\u009b")");                        // CSI in one character.
    EXPECT_EQ(text_value("\xe2\x80\xa8\xe2\x80\xae"), R"("\u2028\u202e")");  // Line separator, right-to-left override.
    EXPECT_EQ(text_value(std::string_view("a\0b", 3)), R"("a\u0000b")");
}

TEST(LogLine, BytesThatAreNotUtf8AreEscaped) {
    EXPECT_EQ(text_value("\xff"
                         "a\xc3"),
              R"("\xffa\xc3")");
    EXPECT_EQ(json_value("\xff"
                         "a\xc3"),
              R"("\ufffda\ufffd")");
    EXPECT_EQ(json_value("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");  // A surrogate.
    EXPECT_EQ(json_value("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\"");
}

TEST(LogLine, JsonEscapesQuotesAndControls) {
    EXPECT_EQ(json_value("a\"b\\c\nd\x01"), R"("a\"b\\c\nd\u0001")");
}

TEST(LogLine, TheEventIsEscapedToo) {
    const auto line = log_line(LogFormat::text, kTime, Level::warn, "a\nb", {});

    EXPECT_EQ(line, R"(2026-11-23T09:24:01.004Z WARN  a\nb)");
}

}  // namespace
}  // namespace boardbus::telemetry

// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "board/json.h"

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

BenchReport report() {
    BenchReport report{.load = "fanout",
                       .url = "http://h:1/\"quoted\"",
                       .transport = "sse",
                       .setup = {{"subscribers", 1000}},
                       .figures = {{"lost", 0}, {"deliveries_per_s", 1234567.89, 1}},
                       .timed = "latency"};
    for (int i = 1; i <= 100; ++i) {
        report.times.add(std::chrono::milliseconds(i));
    }
    return report;
}

TEST(BenchReport, NumbersAreGroupedByThousands) {
    EXPECT_EQ(grouped(0, 0), "0");
    EXPECT_EQ(grouped(999, 0), "999");
    EXPECT_EQ(grouped(1000, 0), "1,000");
    EXPECT_EQ(grouped(1234567.89, 1), "1,234,567.9");
    EXPECT_EQ(grouped(-1000, 0), "-1,000");
    EXPECT_EQ(grouped(-100, 0), "-100");
}

TEST(BenchReport, TextHasFiguresQuantilesAndBars) {
    const std::string text = report_as_text(report());

    EXPECT_THAT(text, HasSubstr("deliveries per s"));
    EXPECT_THAT(text, HasSubstr("1,234,567.9\n"));
    EXPECT_THAT(text, HasSubstr("latency p99.9"));
    EXPECT_THAT(text, HasSubstr("100.000 ms\n"));
    EXPECT_THAT(text, HasSubstr("below 67 ms"));
    EXPECT_THAT(text, HasSubstr("########################################\n"));
    EXPECT_THAT(text, Not(HasSubstr("ended early")));
}

TEST(BenchReport, TheBarsCountEverythingOnce) {
    BenchReport extremes{.load = "fanout", .timed = "latency"};
    extremes.times.add(1ns);
    extremes.times.add(24h);
    const std::string text = report_as_text(extremes);

    EXPECT_THAT(text, HasSubstr("below 0.066 ms                         1  ####"));
    EXPECT_THAT(text, HasSubstr("more                                   1  ####"));
}

TEST(BenchReport, WithoutTimesThereIsNoTableOfThem) {
    EXPECT_THAT(report_as_text({.load = "connect", .timed = "handshake"}), Not(HasSubstr("p50")));
}

TEST(BenchReport, JsonSaysTheSameInOneLine) {
    BenchReport failed = report();
    failed.refusals.add("HTTP 429", 3);
    failed.problems = {"3 were \"refused\"", "2 lost"};

    const std::string json = report_as_json(failed);

    EXPECT_TRUE(board::json::is_valid(json)) << json;
    EXPECT_EQ(std::ranges::count(json, '\n'), 1);
    EXPECT_THAT(json, HasSubstr(R"("ok":false)"));
    EXPECT_THAT(json, HasSubstr(R"("problems":["3 were \"refused\"","2 lost"])"));
    EXPECT_THAT(json, HasSubstr(R"("deliveries_per_s":1234567.9)"));
    EXPECT_THAT(json, HasSubstr(R"("refusals":{"HTTP 429":3})"));
    EXPECT_THAT(json, HasSubstr(R"("latency_ms":{"samples":100,"p50":)"));
    EXPECT_THAT(report_as_json(report()), HasSubstr(R"("ok":true)"));
}

TEST(BenchTally, KeepsFewNamesAndLosesNoCount) {
    BenchTally tally;
    for (int code = 0; code < 1000; ++code) {
        tally.add("closed with " + std::to_string(code));
    }
    tally.add("closed with 0", 2);

    EXPECT_EQ(tally.total(), 1002U);
    EXPECT_LE(tally.counts().size(), 33U);
    EXPECT_EQ(tally.counts().at("closed with 0"), 3U);
    std::uint64_t sum = 0;
    for (const auto& [name, count] : tally.counts()) {
        sum += count;
    }
    EXPECT_EQ(sum, 1002U);
    EXPECT_THAT(tally.text(), HasSubstr("closed with 0 ×3, "));
}

}  // namespace
}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "bench/event_number.h"

#include <gtest/gtest.h>

#include "bench/event_log.h"

namespace boardbus::bench {
namespace {

std::string event(std::uint64_t number, std::string_view before = {}) {
    std::string text = R"({"id":"x","payload":)" + numbered_words(100) + "}";
    set_number(text, number);
    return std::string(before) + text;
}

TEST(EventNumbers, FindsTheNumberWhereverItStands) {
    EventNumbers numbers;

    EXPECT_EQ(numbers.in_text(event(7)), 7U);
    EXPECT_EQ(numbers.in_text(event(1'234'567'890)), 1'234'567'890U);
    EXPECT_EQ(numbers.in_text(event(8, "id: some more text")), 8U);
    EXPECT_EQ(numbers.in_text(event(9)), 9U);
}

TEST(EventNumbers, SeesThatATextHasNone) {
    EventNumbers numbers;
    ASSERT_TRUE(numbers.in_text(event(7)));

    EXPECT_FALSE(numbers.in_text(""));
    EXPECT_FALSE(numbers.in_text("event: heartbeat\ndata: {}\n\n"));
    EXPECT_FALSE(numbers.in_text(event(7).substr(0, 30))) << "its digits are cut";
    EXPECT_FALSE(numbers.in_text(R"({"id":"x","payload":{"n":"00000x0000"}})"));
}

TEST(EventNumbers, InflatesAndDoesNotTakeAGuessForTheTruth) {
    EventNumbers numbers;
    web::Deflater deflater;
    const std::string seventh(deflater.deflate(event(7)));
    const std::string eighth(deflater.deflate(event(8)));

    const auto first = numbers.in_deflated(seventh, 7);
    const auto again = numbers.in_deflated(seventh, 7);
    const auto other = numbers.in_deflated(eighth, 7);

    ASSERT_TRUE(first && again && other);
    EXPECT_EQ(first->number, 7U);
    EXPECT_EQ(first->text_bytes, event(7).size());
    EXPECT_EQ(again->number, 7U);
    EXPECT_EQ(other->number, 8U) << "7 was expected, 8 came";
    EXPECT_FALSE(numbers.in_deflated("no deflate data", 9));
}

TEST(NumberedWords, HaveTheSizeThatWasAskedForAndPlaceForANumber) {
    for (const std::size_t size : {27U, 28U, 160U, 2048U}) {
        std::string text = numbered_words(size);
        set_number(text, 42);

        EXPECT_EQ(text.size(), size);
        EXPECT_TRUE(text.ends_with(R"("})")) << text;
        EXPECT_EQ(EventNumbers().in_text(text), 42U);
    }
}

}  // namespace
}  // namespace boardbus::bench

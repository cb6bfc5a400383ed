// SPDX-License-Identifier: Apache-2.0
#include "base/pacer.h"

#include <gtest/gtest.h>

#include <vector>

namespace boardbus {
namespace {

using namespace std::chrono_literals;

TEST(Pacer, EachCallIsDueByItsNumberNotByTheLastCall) {
    const Instant begin{1h};

    EXPECT_EQ(due_of(begin, 100, 0), begin);
    EXPECT_EQ(due_of(begin, 100, 1), begin + 10ms);
    EXPECT_EQ(due_of(begin, 3, 3), begin + 1s);
    // A day at 100,000/s: no error adds up.
    EXPECT_EQ(due_of(begin, 100'000, 8'640'000'000), begin + 24h);
    EXPECT_EQ(due_of(begin, 0.5, 2), begin + 4s);
}

TEST(Pacer, ALateWakeUpMakesAllCallsThatWereDueAndNoneAfterTheEnd) {
    Loop loop;
    const Instant begin = std::chrono::steady_clock::now() - 1s;
    std::vector<Instant> due;
    Pacer pacer(loop, begin, begin + 50ms, 100, [&due](Instant each) { due.push_back(each); });

    while (due.empty()) {
        loop.turn(1s);
    }
    loop.turn(0ms);

    EXPECT_EQ(due, (std::vector{begin, begin + 10ms, begin + 20ms, begin + 30ms, begin + 40ms}));
}

TEST(Pacer, CallsNothingBeforeItsTime) {
    Loop loop;
    const Instant begin = std::chrono::steady_clock::now() + 20ms;
    Instant called{};
    Pacer pacer(loop, begin, begin + 1ms, 1, [&called](Instant) { called = std::chrono::steady_clock::now(); });

    while (called == Instant{}) {
        loop.turn(1s);
    }

    EXPECT_GE(called, begin);
}

}  // namespace
}  // namespace boardbus

// SPDX-License-Identifier: Apache-2.0
#include "cli/process.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace boardbus::cli {
namespace {

TEST(UsableCores, AreThoseThatTheProcessMayRunOn) {
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    EXPECT_EQ(usable_cores(), static_cast<std::size_t>(CPU_COUNT(&all)));

    int first = 0;
    while (!CPU_ISSET(first, &all)) {
        ++first;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(usable_cores(), 1U);
    ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
}

}  // namespace
}  // namespace boardbus::cli

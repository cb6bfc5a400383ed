// SPDX-License-Identifier: Apache-2.0
#include "board/lanes.h"

#include <gtest/gtest.h>

#include <map>

namespace boardbus::board {
namespace {

std::string board(int number) {
    return "board-" + std::to_string(number);
}

TEST(Lanes, OneLaneCarriesEverything) {
    EXPECT_EQ(lane_of("", 1), 0U);
    EXPECT_EQ(lane_of("b1", 1), 0U);
}

TEST(Lanes, TheLaneOfABoardNeverChangesBetweenVersions) {
    // Written down from the first version: an app and another one after an upgrade must agree.
    EXPECT_EQ(lane_of("b1", 4), 1U);
    EXPECT_EQ(lane_of("b2", 4), 1U);
    EXPECT_EQ(lane_of("b3", 4), 3U);
    EXPECT_EQ(lane_of("\xC3\xA4", 64), 30U);
}

TEST(Lanes, BoardsAreSpreadEvenly) {
    std::map<std::size_t, int> boards;
    for (int i = 0; i < 8000; ++i) {
        ++boards[lane_of(board(i), 8)];
    }

    ASSERT_EQ(boards.size(), 8U);
    for (const auto& [lane, count] : boards) {
        EXPECT_NEAR(count, 1000, 150) << lane;
    }
}

TEST(Lanes, OneLaneMoreMovesOnlyItsShareAndOnlyThere) {
    int moved = 0;
    for (int i = 0; i < 8000; ++i) {
        const std::size_t before = lane_of(board(i), 7);
        const std::size_t after = lane_of(board(i), 8);
        if (after != before) {
            ++moved;
            EXPECT_EQ(after, 7U);
        }
    }

    EXPECT_NEAR(moved, 1000, 150);
}

TEST(Lanes, TheFirstHasTheBaseNamesAndTheOthersTheirOwnQueues) {
    const auto lanes = make_lanes({}, 3);

    ASSERT_EQ(lanes.size(), 3U);
    EXPECT_EQ(lanes[0].main.name, "advanced.board.events");
    EXPECT_EQ(lanes[0].levels[1].name, "advanced.board.events.retry.2");
    EXPECT_EQ(lanes[2].main.name, "advanced.board.events.lane.3");
    EXPECT_EQ(lanes[2].main.routing_key, "boards.activity.lane.3");
    EXPECT_EQ(lanes[2].levels[0].name, "advanced.board.events.retry.lane.3");
    EXPECT_EQ(lanes[2].levels[1].name, "advanced.board.events.retry.lane.3.2");
    EXPECT_EQ(lanes[2].levels[1].routing_key, "boards.activity.retry.lane.3.2");
    EXPECT_EQ(lanes[2].dlq.name, lanes[0].dlq.name);
    EXPECT_EQ(lanes[2].exchanges, lanes[0].exchanges);
}

TEST(Lanes, ARetryComesBackToItsOwnLane) {
    const auto lanes = make_lanes({}, 2);

    const auto& arguments = lanes[1].levels[0].arguments;
    bool found = false;
    for (const auto& [name, value] : arguments) {
        if (name == "x-dead-letter-routing-key") {
            found = true;
            EXPECT_EQ(std::get<std::string>(value), lanes[1].main.routing_key);
        }
    }
    EXPECT_TRUE(found);
}

TEST(Lanes, WorkersShareThemEvenly) {
    const std::vector<std::string> workers{"a", "b", "c"};
    std::map<std::string, int> lanes;
    for (std::size_t lane = 0; lane < 8; ++lane) {
        ++lanes[owner_of(lane, workers)];
    }

    EXPECT_EQ(lanes["a"], 3);
    EXPECT_EQ(lanes["b"], 3);
    EXPECT_EQ(lanes["c"], 2);
}

TEST(Lanes, ALoneWorkerOwnsAll) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
        EXPECT_EQ(owner_of(lane, {"only"}), "only");
    }
}

}  // namespace
}  // namespace boardbus::board

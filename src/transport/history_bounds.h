// How much of the history is kept: the same rules in Redis and in one process.
//
// The log of all boards and the history of each board are cut at every step-th event, to their exact size. So at most an eighth, and never
// more than 15 events, is kept beyond the bound, and cutting costs almost nothing per event. Boards that have been idle longest lose
// their history as a whole. Values only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace boardbus::transport {

struct HistoryBounds {
    std::size_t size = 100'000;        ///< Events of the log, and of all boards' histories together. At least 1.
    std::size_t board_size = 1000;     ///< Events of one board. At least 1; more than `size` means `size`.
    std::chrono::seconds age{86'400};  ///< Older events go when others come.

    std::size_t of_board() const { return std::min(board_size, size); }
    std::size_t log_step() const { return step(size); }
    std::size_t board_step() const { return step(of_board()); }

    static constexpr std::size_t step(std::size_t kept) { return std::clamp<std::size_t>(kept / 8, 1, 16); }

    /// Boards that one commit evicts at most when all together are too many, and when they are too old.
    static constexpr std::size_t kEvictedPerCommit = 4;
    static constexpr std::size_t kAgedPerStep = 16;
    /// Old events that one step takes from the head of a history at most: twice what can have come since the last step.
    static constexpr std::size_t kAgedEvents = 32;
};

}  // namespace boardbus::transport

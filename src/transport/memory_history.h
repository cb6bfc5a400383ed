// The history of the one-process mode: the same numbers, bounds and evictions as the commit script's in Redis.
//
// An event is held once and stands in the log and in its board's history. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "board/ports.h"
#include "transport/history_bounds.h"

namespace boardbus::transport {

class MemoryHistory final : public board::ActivityHistory {
  public:
    /// Bound of a page, beyond its first event.
    static constexpr std::size_t kPageBytesMax = std::size_t{4} << 20;
    static constexpr std::size_t kPageEventsMax = 1000;

    /// `epoch`: random, see board::epoch_text().
    MemoryHistory(std::string epoch, HistoryBounds bounds) : epoch_(std::move(epoch)), bounds_(bounds) {}

    const std::string& epoch() const { return epoch_; }

    /// Gives the event its place. Nothing when it is no ActivityEvent.
    std::optional<board::ActivityView> append(const board::CommitRequest& request, WallTime now);

    void read_board_after(std::string board, std::uint64_t after, std::size_t limit, board::HistoryDone done) override;
    void read_board_before(std::string board, std::uint64_t before, std::size_t limit,
                           board::HistoryDone done) override;
    void read_all_after(std::uint64_t after, std::size_t limit, board::HistoryDone done) override;

    /// Events in all boards' histories together.
    std::size_t kept() const { return kept_; }

  private:
    /// An event as its bytes: few are ever read again.
    struct Entry {
        std::string json;
        std::uint64_t pos;
        std::uint64_t seq;
        std::chrono::seconds time;
    };
    using Entries = std::deque<std::shared_ptr<const Entry>>;
    /// Consecutive: the last one has the number `last`.
    struct Board {
        Entries entries;
        std::uint64_t last = 0;
        std::uint64_t listed_pos = 0;  ///< Its place in idle_, corrected when it comes up.
    };

    void keep_bounds(const std::string& name, std::chrono::seconds now);
    std::size_t age(Entries& entries, std::chrono::seconds cutoff) const;
    const std::string* idlest();
    void list(const std::string& name, Board& board, std::uint64_t pos);
    void evict(const std::string& name);
    board::HistoryPage page(const Entries& entries, std::uint64_t last, std::size_t begin, std::size_t end) const;

    const std::string epoch_;
    const HistoryBounds bounds_;
    std::uint64_t pos_ = 0;
    std::uint64_t forgotten_ = 0;
    std::size_t kept_ = 0;
    Entries log_;  // HistoryBounds::size.
    std::unordered_map<std::string, Board>
        boards_;                                 // Each with at least one event: at most HistoryBounds::size and four.
    std::map<std::uint64_t, std::string> idle_;  // Boards by their listed_pos.
};

}  // namespace boardbus::transport

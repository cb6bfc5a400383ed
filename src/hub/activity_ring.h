// The latest events of the process, for readers that come back after a moment.
//
// Most resumes are about the last seconds: they are served from here, without a question to anybody. The ring is
// contiguous: it holds every event between before() and last(), of one history. Each board's events in it are linked, so
// that a board is walked without looking at the others. Beside it stand the latest events without a place in the history
// (another program's), for readers who were asking for their own place when those were shown. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "board/activity_view.h"
#include "board/cursor.h"
#include "hub/text_hash.h"

namespace boardbus::hub {

struct RingBounds {
    std::size_t events = 16'384;
    std::size_t bytes = std::size_t{16} << 20U;  ///< JSON and action, kKeptCost per event.
};

/// One event as the ring keeps it: its JSON once, and what the other forms are made of.
struct KeptEvent {
    std::uint64_t pos;
    std::uint64_t seq;
    std::uint64_t next_of_board;  ///< Position of the board's next event in the ring; 0: none.
    const std::string* board;
    std::uint32_t hash;
    std::uint32_t count_at;
    std::uint32_t count_length;
    std::string json;
    std::string action;

    std::string_view before_count() const { return std::string_view(json).substr(0, count_at); }
    std::string_view after_count() const { return std::string_view(json).substr(count_at + count_length); }
};

class ActivityRing {
  public:
    explicit ActivityRing(RingBounds bounds = {}) : bounds_(bounds) {}
    ActivityRing(const ActivityRing&) = delete;
    ActivityRing& operator=(const ActivityRing&) = delete;

    /// Forgets everything that had a place and goes on behind `pos` of the history `epoch`.
    void begin(std::string epoch, std::uint64_t pos);

    /// Takes the next event: its position is last() + 1, or it has none. The oldest give way when a bound is reached. Cost: about
    /// 0.3 us.
    void push(board::ActivityView&& activity);

    bool begun() const { return begun_; }
    const std::string& epoch() const { return epoch_; }
    std::uint64_t last() const { return before_ + events_.size(); }
    std::uint64_t before() const { return before_; }

    /// Changes with every begin(): what was learned of the history before is void.
    std::uint64_t generation() const { return generation_; }

    /// The event at `pos`; null outside the ring.
    const KeptEvent* at(std::uint64_t pos) const;

    /// The hash of the event at `pos`, also of the one at before(); 0 when it is not known.
    std::uint32_t hash_at(std::uint64_t pos) const;

    /// The newest event of a board; null when the ring has none.
    const KeptEvent* last_of(std::string_view board) const;

    /// The oldest event of a board behind `pos`. Cost: short when the event at `pos` is one of the board, else a walk
    /// over the board's older ones.
    const KeptEvent* next_of(std::string_view board, std::uint64_t pos) const;

    /// How many events without a place there have been, those that gave way included.
    std::uint64_t placeless() const { return placeless_gone_ + placeless_.size(); }

    /// Calls `see` for those that came when there had been `since` of them, oldest first. What gave way is not seen.
    template <typename See>
    void each_placeless(std::uint64_t since, See see) const {
        for (std::uint64_t n = std::max(since, placeless_gone_); n < placeless(); ++n) {
            see(placeless_[n - placeless_gone_]);
        }
    }

    board::Cursor cursor_of(const KeptEvent& event) const { return {{epoch_, event.pos, event.seq}, event.hash}; }

  private:
    /// Positions of a board's oldest and newest event.
    struct Chain {
        std::uint64_t first;
        std::uint64_t last;
    };

    void push_placeless(board::ActivityView&& activity);
    void drop_oldest();

    // Constant after construction.
    const RingBounds bounds_;

    // Bus loop only.
    std::string epoch_;
    std::deque<KeptEvent> events_;  // Bound: bounds_.
    std::unordered_map<std::string, Chain, TextHash, std::equal_to<>>
        boards_;  // Bound: boards with an event in the ring.
    std::size_t bytes_ = 0;
    std::deque<board::ActivityView> placeless_;  // Bound: kPlacelessEvents, kPlacelessBytes.
    std::size_t placeless_bytes_ = 0;
    std::uint64_t placeless_gone_ = 0;
    std::uint64_t before_ = 0;
    std::uint64_t generation_ = 0;
    std::uint32_t before_hash_ = 0;
    bool begun_ = false;
};

}  // namespace boardbus::hub

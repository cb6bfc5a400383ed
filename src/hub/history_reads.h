// Questions to the history: few at a time, and the same question of many askers only once.
//
// After a restart all readers of a board come back with the same cursor, and a thousand boards at the same moment. The
// bound on pages in memory is what keeps such a storm from growing the process. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "hub/activity_ring.h"

namespace boardbus::hub {

struct HistoryQuestion {
    enum class Kind : std::uint8_t { board_after, board_before, all_after };
    Kind kind = Kind::board_after;
    std::string board;
    std::uint64_t from = 0;  ///< seq; all_after: pos.
    std::size_t limit = 0;

    auto operator<=>(const HistoryQuestion&) const = default;
};

/// A page as clients get it: each event as it is sent, its count filled in.
struct PastEvents {
    board::HistoryPage page;  ///< Of each event only the position counts.
    std::vector<std::string> events;
};

/// Any number of clients, on any thread, have the same bytes.
using SharedPast = std::shared_ptr<const PastEvents>;

/// An answer, and where the process stood when the question left: everything up to `asked_at` was in the history then.
struct HistoryReply {
    Result<board::HistoryPage> page;
    std::uint64_t asked_at = 0;
    std::uint64_t generation = 0;
    mutable SharedPast past{};  ///< Made by the first asker who needs it, dropped when all have been told.
};

/// Whoever keeps it keeps one of the places for pages.
using SharedReply = std::shared_ptr<const HistoryReply>;

class HistoryReads {
  public:
    using Done = std::move_only_function<void(const SharedReply&)>;

    HistoryReads(Loop& loop, const ActivityRing& ring) : loop_(loop), ring_(ring) {}
    HistoryReads(const HistoryReads&) = delete;
    HistoryReads& operator=(const HistoryReads&) = delete;

    /// Before the first question. Without a source every question is answered `unavailable`.
    void set_source(board::ActivityHistory& source) { source_ = &source; }

    /// False while too many questions wait: try again later.
    bool has_room() const;

    /// Asks in the next turn, together with all who want the same until then; there is room. `done` is called once. Its page
    /// is not older than this call: while the same question is out, it waits and is then asked once more.
    void ask(const HistoryQuestion& question, Done done);

    /// Pages that are on their way or held by somebody.
    std::size_t pages() const { return *pages_; }

  private:
    struct Askers {
        std::vector<Done> out;      // The question left after they had come: the page on its way is theirs.
        std::vector<Done> waiting;  // For the question to leave.
    };

    void plan_to_send();
    void send();
    void on_page(const HistoryQuestion& question, std::shared_ptr<HistoryReply> reply);

    // Constant after the start.
    Loop& loop_;
    const ActivityRing& ring_;
    board::ActivityHistory* source_ = nullptr;

    // Bus loop only.
    std::map<HistoryQuestion, Askers>
        askers_;                           // Bound: has_room(); askers of one: the questions that an edge lets out.
    std::deque<HistoryQuestion> waiting_;  // Questions to send, none of them out. Bound: askers_.
    // Bound: kPagesMax. Shared with the replies, which may die after this object.
    std::shared_ptr<std::size_t> pages_ = std::make_shared<std::size_t>(0);
    bool planned_ = false;
};

}  // namespace boardbus::hub

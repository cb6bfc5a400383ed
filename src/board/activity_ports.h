// The two ports behind the bus: who shows events to readers, and who remembers what happened lately.
//
// The same rules as in board/ports.h: one thread, the bus loop, and each callback exactly once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "board/activity_view.h"

namespace boardbus::board {

/// Why the events that follow do not continue those that came before.
struct HistoryBreak {
    enum class Kind {
        replaced,  ///< Another history: Redis lost its data, or was rolled back by a failover. All readers have to start anew.
        trimmed,  ///< The same history, but what lies between is no longer in the log of all boards. Boards may still have theirs.
    };
    Kind kind = Kind::replaced;
    std::string epoch;           ///< Of the history that follows.
    std::uint64_t last_pos = 0;  ///< Of the event before the first that follows.
};

/// Who shows events to readers. Implemented by the hub.
class ActivitySink {
  public:
    /// Events in the order of the history; those of one epoch have consecutive positions. Events without a position come from
    /// another implementation and are shown as they come.
    virtual void on_activities(std::vector<ActivityView> activities) = 0;

    /// Where the source begins: behind the event at `last_pos`. Told once, before the first event with a position and before
    /// on_live(true). `epoch` is empty while there is no history.
    virtual void on_begin(std::string epoch, std::uint64_t last_pos) = 0;

    /// Comes before the first event that does not continue the last one. What follows `replaced` begins at the first event of the new
    /// history that was not shown, so that nothing of it is missed.
    virtual void on_break(HistoryBreak cause) = 0;

    /// Live: what happens is shown at once. Not live: the source is away or catches up; nothing is lost yet. Told once per change;
    /// not live at the start.
    virtual void on_live(bool live) = 0;

  protected:
    ~ActivitySink() = default;
};

/// A part of one board's history, or of that of all boards, oldest first. It may hold fewer events than were asked for, because a page has
/// a bound in bytes: there is more as long as its last event stands before `last`.
struct HistoryPage {
    std::string epoch;                 ///< "": there is no history yet.
    std::vector<ActivityView> events;  ///< Consecutive, unless the log of all boards was read.
    std::uint64_t first = 0;           ///< The oldest seq (pos) that is kept; 0: none is.
    std::uint64_t last = 0;            ///< The newest seq (pos) that was given out, kept or not.
    std::uint64_t forgotten = 0;       ///< No board that was forgotten, number and all, had an event behind this pos.
};

using HistoryDone = std::move_only_function<void(Result<HistoryPage>)>;

/// What happened lately. Always read at its writer, never at a replica, which would look like a history that was rolled back.
/// Errors of all: unavailable, timeout.
class ActivityHistory {
  public:
    /// The first `limit` events of the board whose seq is above `after`.
    virtual void read_board_after(std::string board, std::uint64_t after, std::size_t limit, HistoryDone done) = 0;

    /// The last `limit` events of the board whose seq is below `before`.
    virtual void read_board_before(std::string board, std::uint64_t before, std::size_t limit, HistoryDone done) = 0;

    /// The first `limit` events of all boards whose pos is above `after`.
    virtual void read_all_after(std::uint64_t after, std::size_t limit, HistoryDone done) = 0;

  protected:
    ~ActivityHistory() = default;
};

}  // namespace boardbus::board

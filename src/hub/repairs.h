// After a break in the events that the process sees: what its readers need to go on, found out once for all of them.
//
// While a repair lasts, new events wait here in order. Each board with readers is looked up in the history: what is still
// there is shown, what is not is told (gap, resync), and when the history does not answer in time the board's readers are cut
// and come back with their cursors. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "hub/history_reads.h"

namespace boardbus::hub {

class Hub;

class Repairs {
  public:
    explicit Repairs(Hub& hub);
    Repairs(const Repairs&) = delete;
    Repairs& operator=(const Repairs&) = delete;

    /// A board with readers, and the last of its events that they have seen; 0: none since they joined.
    struct Board {
        std::string name;
        std::uint64_t seq = 0;
        bool anew = false;                  ///< Its readers have to be told to begin anew.
        std::uint64_t before = UINT64_MAX;  ///< Its history is being read backwards from here.
    };

    /// The ring stands behind the break already; it stood at `seen` before. Replaces a repair that is not finished.
    void begin(board::HistoryBreak::Kind kind, std::uint64_t seen, std::vector<Board> boards);

    /// True while events have to wait.
    bool active() const { return active_; }

    /// Keeps events that came during the repair.
    void keep(std::vector<board::ActivityView> activities);

  private:
    void drop_waiting();
    void ask_on();
    void on_reply(Board board, const SharedReply& reply);
    enum class Progress : std::uint8_t {
        done,
        more,   ///< Another page is needed.
        later,  ///< What comes before the events that wait is still on its way to the process.
    };
    Progress resync(Board& board, const board::HistoryPage& page);
    Progress fill(Board& board, const board::HistoryPage& page);
    Progress fill_from_end(Board& board, const board::HistoryPage& page);
    std::optional<std::uint64_t> last_before(const std::string& board, const board::Position& next) const;
    void tell_gap(const std::string& board, std::uint64_t from, std::uint64_t to, std::uint64_t pos);
    void tell_resync(const std::string& board, const board::Cursor& last);
    board::Cursor place(std::uint64_t seq) const;
    void cut_the_rest();
    void finish_if_done();

    // Constant after construction.
    Hub& hub_;

    // Bus loop only.
    board::HistoryBreak::Kind kind_ = board::HistoryBreak::Kind::replaced;
    bool active_ = false;
    std::uint64_t run_ = 0;                     // Answers to an earlier repair are void.
    std::uint64_t seen_ = 0;                    // Position up to which boards without a known seq have been shown.
    std::vector<Board> boards_;                 // To be asked about. Bound: boards with readers.
    std::vector<Board> asked_;                  // Under way. Bound: kAskedMax.
    std::vector<board::ActivityView> waiting_;  // Bound: kWaitingEvents, kWaitingBytes.
    std::size_t waiting_bytes_ = 0;
    Timer deadline_;
    Timer retry_timer_;
};

}  // namespace boardbus::hub

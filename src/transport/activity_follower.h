// Follows a history without a hole and without a repeat: what of the messages and of the log is shown, and when the log must be read.
//
// Messages (pub/sub) are quick and may be lost; the log loses nothing and must be asked. So messages are shown as long as each continues the
// last one; whatever does not starts a repair: the log is read from the last event that was shown on, that event included, to see whether
// it is still the same history; messages wait meanwhile. Decides only, without sockets, clocks or threads. Spec: CONTRACT §7.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "board/ports.h"
#include "transport/redis_history.h"
#include "transport/shown_events.h"

namespace boardbus::transport {

class ActivityFollower {
  public:
    // Messages that wait during a repair. Beyond it they are forgotten: the log has them.
    static constexpr std::size_t kWaitingBytesMax = std::size_t{8} << 20;

    /// What has to be asked next. One question at a time; the answer goes to on_tail() or on_page().
    enum class Ask {
        nothing,  ///< Live: messages are enough.
        tail,     ///< The end of the log: nothing is known yet.
        page,     ///< The log after page_after().
    };

    explicit ActivityFollower(board::ActivitySink& sink) : sink_(sink) {}

    /// A subscription has begun: messages may have been missed before it.
    Ask on_subscribed();

    /// Messages in the order of their arrival. Those without a position are shown at once.
    Ask on_messages(std::vector<board::ActivityView> messages);

    /// The first answer: what happened until now is not shown.
    Ask on_tail(const HistoryTail& tail);

    Ask on_page(board::HistoryPage page);

    /// What the end of the log, asked for while live and at `pos_asked`, says beside the messages. One that it is ahead of may still be
    /// on its way.
    struct Look {
        bool other_history = false;
        std::uint64_t newest = 0;
    };
    Look look_at(const HistoryTail& tail, std::uint64_t pos_asked) const;

    /// Live, and yet the log must be read.
    Ask repair();

    /// The last question was not answered: what to ask now.
    Ask ask_again();

    bool is_live() const { return state_ == State::live; }
    std::uint64_t pos() const { return pos_; }
    std::uint64_t page_after() const { return page_after_; }

    /// Since the start, for metrics.
    struct Counts {
        std::uint64_t repairs = 0;
        std::uint64_t repaired = 0;  ///< Events that came from the log.
        std::uint64_t replaced = 0;
        std::uint64_t trimmed = 0;
        std::uint64_t foreign =
            0;  ///< Messages that were dropped: the log, read after them, knew nothing of their history.
    };
    const Counts& counts() const { return counts_; }

  private:
    enum class State { unknown, reading, live };
    enum class Reading {
        verify,   ///< The page must begin with the last event shown.
        go_on,    ///< The page continues the last one.
        anew,     ///< The page is of another history.
        compare,  ///< The same history was rolled back: the page is compared with what was shown.
    };

    Ask read(Reading reading, std::uint64_t after);
    Ask verify(board::HistoryPage& page);
    Ask compare(board::HistoryPage& page);
    Ask follow(board::HistoryPage& page, std::size_t from);
    Ask drain();
    bool take(board::ActivityView& message);
    void wait(board::ActivityView message);
    void forget_waiting();
    void show(board::ActivityView event);
    void hand_out();
    void break_off(board::HistoryBreak::Kind kind, std::uint64_t last_pos);

    board::ActivitySink& sink_;
    State state_ = State::unknown;

    // The last event shown.
    std::string epoch_;
    std::uint64_t pos_ = 0;
    ShownEvents shown_;

    Reading reading_ = Reading::verify;
    std::uint64_t page_after_ = 0;
    std::deque<board::ActivityView> waiting_;  // At most kWaitingBytesMax.
    std::size_t waiting_bytes_ = 0;
    std::size_t asked_after_ =
        0;  // So many of them had arrived when the page was asked for: the log has them, or never will.
    std::string foreign_epoch_;  // Of messages that the log, read after them, knew nothing of.
    std::vector<board::ActivityView> out_;
    Counts counts_;
};

}  // namespace boardbus::transport

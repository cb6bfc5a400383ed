// Readers that join at a known place: behind a cursor, or from now on but knowing where that is.
//
// A reader asks with its cursor and gets what it has missed in slices, from the ring or from the history. It is no member
// of its boards yet, and nothing is kept for it between two slices: a replay of any length needs the memory of one slice and
// waits for a socket that takes it slowly. The slice that reaches the place of the process is the last one. With it the
// reader is counted, and the answer is posted to its loop between the batches before and behind that place: so the events
// that follow it are exactly the next ones. Lives on the bus loop. Spec: CONTRACT §7.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "board/cursor.h"
#include "hub/history_reads.h"
#include "hub/notice.h"
#include "hub/reader.h"

namespace boardbus::hub {

class Hub;
class Shard;

/// Where a reader wants to begin, or to go on after a slice.
struct ResumePoint {
    enum class Kind : std::uint8_t {
        now,         ///< No cursor.
        cursor,      ///< Behind `after`, if it is what it says.
        next_slice,  ///< Behind `after`, which an answer gave.
        unreadable,  ///< A cursor that is none of ours: resync.
    };
    Kind kind = Kind::now;
    board::Cursor after;
    std::uint64_t generation = 0;  ///< next_slice: of the ring; in another one `after` is looked at again.
    std::uint64_t placeless = 0;   ///< next_slice: what ring().placeless() was when the reader first asked.
};

struct ResumeAnswer {
    bool joined =
        false;  ///< The last slice. The hub counts the reader on its boards: it joins them now, or reports a leave.
    bool failed = false;     ///< The history could not be read for too long: the reader has to come back later.
    bool recovered = false;  ///< It is behind its cursor, and nothing is missing so far.
    std::string bytes;       ///< Notices and events in the reader's form.
    std::string epoch;       ///< "": there is no history yet.
    std::optional<std::uint64_t>
        seq;             ///< One board: its last event's when the reader asked, if that could be found out.
    std::string cursor;  ///< Kind::now: the place where it begins. "" when that is not known.
    ResumePoint next;    ///< Not joined: what to ask for next.
};

struct ResumeRequest {
    const Shard* shard = nullptr;
    Form form = Form::none;
    std::vector<std::string> boards;  ///< None: all. Sorted.
    ResumePoint point;
    std::size_t slice_bytes = 0;  ///< An answer may be longer by one event and by those without a place.
    /// Called once, on the reader's loop.
    std::move_only_function<void(ResumeAnswer)> done;
};

class Resumes {
  public:
    explicit Resumes(Hub& hub);
    ~Resumes();
    Resumes(const Resumes&) = delete;
    Resumes& operator=(const Resumes&) = delete;

    /// Takes a request. A reader without a cursor misses nothing that is shown after this call.
    void take(ResumeRequest request);

    /// The place has moved, a repair has ended, or the bus is live: those who wait for it look again.
    void look_again();

    /// Requests that wait for look_again().
    bool anybody_parked() const { return !parked_.empty(); }

  private:
    struct Waiter;
    using Who = std::unique_ptr<Waiter>;

    void work();
    void plan_work();
    void go_on(Who who);
    void begin_now(Who who);
    void follow_cursor(Who who);
    void take_page(Who who, const SharedReply& reply);
    static bool is_first(const Waiter& waiter, const board::ActivityView& event);
    bool ask_before_first(Who& who, const board::HistoryPage& page);
    void take_events(Who who, const SharedReply& shared);
    /// What an event of a page leads to.
    enum class Step : std::uint8_t {
        taken,
        ahead,      ///< The process has not come to it, and nothing is missing before it.
        from_ring,  ///< The ring goes further back than the history: on from there.
        wait,       ///< The process has to come to it first, to know what is missing before it.
    };
    Step take_event(Waiter& waiter, const board::ActivityView& event, std::uint64_t& expected);
    Step take_gap(Waiter& waiter, const board::Position& next, std::uint64_t expected);
    void wait_for(Who who, std::uint64_t pos);
    void ask_for_end(Who who);
    void take_last_seq(Who who, const HistoryReply& reply);
    void serve_ring(Who who, std::uint64_t pos);
    void join_now(Who who, std::optional<std::uint64_t> seq, std::string cursor);
    void ask(Who who);
    void retry(Who who);
    void try_later(Who who);
    void resync(Who who);
    void say_gap(Waiter& waiter, std::uint64_t from, std::uint64_t to);
    void append(Waiter& waiter, const KeptEvent& event);
    void append(Waiter& waiter, const board::ActivityView& event);
    void next_slice(Who who, const board::Cursor& next);
    void join(Who who);
    void answer(Who who, ResumeAnswer reply);

    Hub& hub_;
    // Each waiter is in one place. Bound of all together: the edges', who count what they have asked; that of a socket that has gone waits on.
    std::deque<Who> due_;      // Can be looked at.
    std::vector<Who> parked_;  // Wait for look_again().
    std::vector<Who> again_;   // Wait for the timer.
    bool work_planned_ = false;
    std::size_t answered_bytes_ = 0;  // In this turn of work.
    Timer retry_timer_;
};

}  // namespace boardbus::hub

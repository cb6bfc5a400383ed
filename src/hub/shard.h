// The readers of one loop, and the walk that writes to them.
//
// Events are appended to one run of bytes per board and form; at the end of the turn each board that has any is walked
// once: one non-blocking send() of that run per reader. Nothing is allocated, looked up or copied per delivery, and a
// walk touches only the dense list of 16-byte members, never a session. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "hub/frame.h"
#include "hub/notice.h"
#include "hub/outbox.h"
#include "hub/reader.h"
#include "hub/text_hash.h"
#include "telemetry/loop_counters.h"

namespace boardbus::hub {

class Hub;

/// One reader in a group's list.
struct Member {
    int fd;
    bool slow;  ///< It has an outbox: look there. Else the descriptor is all that a delivery needs.
    Reader* reader;
};
static_assert(sizeof(Member) == 16);

/// The readers of one board on one loop that want the same bytes.
struct Group {
    std::string board;  ///< "": all boards.
    Form form;
    std::vector<Member> members;
    std::string pending;     ///< The run that grows in this turn. Bound: kRunBytes and one event.
    std::size_t frames = 0;  ///< Events in `pending`.
    Instant arrived;         ///< Of the first event in `pending`.
    Instant last_event;      ///< For heartbeats of quiet streams.
    bool dirty = false;
    std::size_t shared = 0;  ///< Streams among the members that have other boards, too.
};

class Shard final : public TurnEnd {
  public:
    Shard(Loop& loop, Hub& hub, SlowBudget& budget, telemetry::LoopCounters& counters);
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;
    ~Shard();

    Loop& loop() const { return loop_; }
    telemetry::LoopCounters& counters() const { return counters_; }

    /// Puts a reader on a board; on all boards when `board` is empty. The hub knows of it before anything that this
    /// loop posts later.
    void join(Reader& reader, std::string_view board);

    /// Puts a reader on a board where the hub has counted it in: behind everything that was delivered before this call.
    void join_counted(Reader& reader, std::string_view board);

    /// Takes a reader off all its boards.
    void leave(Reader& reader);

    /// Takes a reader off one of its boards; not a stream, whose boards are fixed. False when it is not on it.
    bool leave(Reader& reader, std::string_view board);

    /// Takes a batch of the hub: appends its events to the runs of the boards that have readers here.
    void deliver(const Batch& batch);

    /// Tells the readers of a board ("": of all), behind what was delivered before.
    void tell(std::string_view board, const EncodedNotice& notice);

    /// Cuts the streams of several boards. A repair goes board by board, which one cursor for all of them cannot follow: who is cut comes
    /// back with it, and is shown, or told, what is missing by position.
    void cut_shared();

    /// What the sessions of this loop have to know about the process.
    struct Listener {
        std::function<void(bool live)> on_live;  ///< Live delivery has been interrupted for a while, or goes on.
        std::function<void(const std::string& epoch)> on_epoch;  ///< The history's.
    };
    void set_listener(Listener listener) { listener_ = std::move(listener); }
    void on_live(bool live) const;
    void on_epoch(const std::string& epoch) const;

    /// Writes bytes meant for one reader alone, behind whatever waits for it already. Failures come as trouble at the
    /// end of the turn.
    void send(Reader& reader, std::string_view bytes);

    /// The same for the last bytes of a reader that is being closed: it leaves its boards and what waits for it is
    /// dropped, except a frame that has begun.
    void send_last(Reader& reader, std::string_view bytes);

    /// The socket takes bytes again.
    void on_writable(Reader& reader);

    /// Whether input of the reader is wanted. A socket with unread input fills up, and its client has to wait.
    void set_reading(Reader& reader, bool reading);

    /// When the reader last got an event through one of its boards.
    static Instant last_event(const Reader& reader);

    /// The hub could not hand over events because this loop is too far behind: all its readers are told that they are
    /// too slow.
    void on_overrun();

    void on_turn_end() override;

  private:
    friend class Reader;

    using Groups = std::unordered_map<std::string, std::unique_ptr<Group>, TextHash, std::equal_to<>>;

    Group& place(Reader& reader, std::string_view board);
    void take_out(Reader& reader, const Membership& place);
    static bool is_shared(const Reader& reader);
    void append(Group& group, std::string_view bytes, Instant arrived);
    void write_run(Group& group);
    void write_slowly(Member& member, std::string_view bytes, ssize_t written, Run& shared);
    void queue(Reader& reader, Run run, std::size_t offset);
    void mark_slow(Reader& reader, bool slow);
    void mark(Reader& reader, Trouble trouble);
    void drop_empty(Group& group);
    void forget(Reader& reader);
    void close_outbox(Reader& reader);
    void update_interest(Reader& reader);
    telemetry::ReaderCounters& counters_of(const Reader& reader) { return counters_of(reader.form_); }
    telemetry::ReaderCounters& counters_of(Form form);

    Loop& loop_;
    Hub& hub_;
    SlowBudget& budget_;
    telemetry::LoopCounters& counters_;

    // Constant after the start.
    Listener listener_;

    // Loop only.
    telemetry::ReaderCounters uncounted_;  // Of Form::none: HTTP has its own metrics.
    std::array<Groups, kForms> groups_;    // Bound: a group lives while it has a member.
    std::vector<Group*> dirty_;            // Bound: the groups.
    Group* shared_run_ = nullptr;          // The one group with shared streams that may have a run; see append().
    std::vector<std::string> spare_;       // Buffers of runs, empty. Bound: kSpareBuffers.
    std::vector<Reader*> troubled_;        // Bound: the readers, each at most once.
    Instant turn_ended_{};
};

}  // namespace boardbus::hub

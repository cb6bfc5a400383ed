// The hub: takes each event once from the bus and hands it to the loops that have readers for it.
//
// It lives on the bus loop. An event is encoded once for the whole process; the shard of the bus loop gets it directly,
// another loop by one post per batch. It knows where the process stands in the history (the ring), lets readers join there
// (Resumes) and mends what the bus could not show in order (Repairs). It also knows how many sockets each board has in this
// process, which is what active_connections says: shards report joins and leaves, and a report is always older than the
// first message of the socket it is about.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "board/ports.h"
#include "hub/activity_ring.h"
#include "hub/frame.h"
#include "hub/history_reads.h"
#include "hub/notice.h"
#include "hub/repairs.h"
#include "hub/resumes.h"
#include "hub/text_hash.h"
#include "telemetry/metrics.h"

namespace boardbus::hub {

class Shard;

class Hub final : public board::ActivitySink {
  public:
    Hub(Loop& bus_loop, WsEncoder encoder, telemetry::Metrics& metrics, RingBounds ring = {});
    Hub(const Hub&) = delete;
    Hub& operator=(const Hub&) = delete;

    /// Every loop's shard, before the first event. Lifetime: shards outlive the hub's last event.
    void add_shard(Shard& shard);

    /// Where the past can be read, before the first event. Lifetime: until the loops have ended.
    void set_history(board::ActivityHistory& history) { reads_.set_source(history); }

    void on_activities(std::vector<board::ActivityView> activities) override;
    void on_begin(std::string epoch, std::uint64_t last_pos) override;
    void on_break(board::HistoryBreak cause) override;
    void on_live(bool live) override;

    /// WebSocket connections of a board in this process.
    std::size_t websockets(std::string_view board) const;

    /// Thread: the shard's.
    void report_join(const Shard& shard, std::string_view board, Form form) { report(shard, board, form, +1); }
    void report_leave(const Shard& shard, std::string_view board, Form form) { report(shard, board, form, -1); }

    /// Lets a reader join; see ResumeRequest. Thread: that of its shard.
    void resume(ResumeRequest request);

    /// The last `limit` events of a board below `before`, encoded once for all who wait for them. `done` is called once, on
    /// the loop of `shard`. Errors: unavailable, timeout, overloaded. Thread: that of `shard`.
    using PastDone = std::move_only_function<void(Result<SharedPast>)>;
    void read_past(const Shard& shard, std::string board, std::uint64_t before, std::size_t limit, PastDone done);

    // For Resumes and Repairs, on the bus loop.
    Loop& loop() const { return bus_loop_; }
    const WsEncoder& encoder() const { return encoder_; }
    telemetry::Metrics& metrics() const { return metrics_; }
    const ActivityRing& ring() const { return ring_; }
    HistoryReads& reads() { return reads_; }
    bool is_live() const { return live_; }
    /// The process knows its place, and events are shown as they come.
    bool is_settled() const { return ring_.begun() && !repairs_.active(); }
    /// So much waits for the shard's loop that replays have to wait, too.
    bool is_behind(const Shard& shard) const;
    /// Counts a reader that joins behind ring().last(); `seq` is its board's last there, when known.
    void count_in(const Shard& shard, const std::vector<std::string>& boards, Form form,
                  std::optional<std::uint64_t> seq);
    /// Appends an event in one form; `more` sockets are counted beside those that the hub knows.
    void append(std::string& out, Form form, const KeptEvent& event, std::size_t more);
    void append(std::string& out, Form form, const board::ActivityView& event, std::size_t more);
    void post_answer(const Shard& shard, ResumeAnswer answer, std::move_only_function<void(ResumeAnswer)> done);
    void tell(const Notice& notice);
    void show_repaired(std::vector<board::ActivityView> activities);
    void end_repair(std::vector<board::ActivityView> waited);

  private:
    /// How many readers a board has; "" are the readers of all boards.
    struct Readers {
        std::array<std::uint32_t, kForms> by_form{};
        std::vector<std::uint32_t> by_shard;
        std::uint64_t seq = 0;  ///< Of the last event they have seen; 0: none since the first of them joined.

        std::uint32_t of(Form form) const { return by_form[static_cast<std::size_t>(form)]; }
    };
    struct Lane {
        Shard* shard;
        std::atomic<std::size_t> waiting_bytes = 0;  ///< Posted and not yet taken. Any thread.
        bool wanted = false;                         ///< By the batch in hand.
        bool overrun = false;                        ///< Bus loop only: its readers have been told.
    };

    /// A reader came or went on another loop.
    struct Report {
        const Shard* shard;
        std::string board;
        Form form;
        int change;
    };

    void report(const Shard& shard, std::string_view board, Form form, int change);
    void wake(bool first);
    void take_reports();
    void count(const Shard& shard, const std::string& board, Form form, int change);
    Lane& lane_of(const Shard& shard) const;
    void show(std::vector<board::ActivityView> activities);
    bool continues(const board::Position& place);
    void add_event(Batch& batch, const board::ActivityView& activity);
    void want_by(const Readers& readers);
    void hand_over(const std::shared_ptr<const Batch>& batch);
    void hand_over(Lane& lane, const std::shared_ptr<const Batch>& batch);
    void post_in_order(Lane& lane, std::size_t bytes, Task task);
    void fill_count(const board::ActivityView& event, std::size_t more);
    void tell_live(bool live);
    void tell_epoch();

    // Constant after the start.
    Loop& bus_loop_;
    WsEncoder encoder_;
    telemetry::Metrics& metrics_;
    std::vector<std::unique_ptr<Lane>> lanes_;

    // Bus loop only.
    std::unordered_map<std::string, Readers, TextHash, std::equal_to<>> readers_;  // Bound: boards with a connection.
    std::string json_;                                                             // The event in hand.
    ActivityRing ring_;
    HistoryReads reads_;
    Repairs repairs_;
    Resumes resumes_;
    bool live_ = false;
    bool told_live_ = true;
    Timer quiet_timer_;

    // Any thread.
    std::atomic<bool> reported_ = false;

    // Any thread, under the mutex.
    std::mutex reports_mutex_;
    std::vector<Report> reports_;          // Bound: what the other loops accept and close in one turn of the bus loop.
    std::vector<ResumeRequest> requests_;  // Bound: one a socket.
};

}  // namespace boardbus::hub

// The hub: takes each event once from the bus and hands it to the loops that have readers for it.
//
// It lives on the bus loop. An event is parsed and encoded once for the whole process; the shard of the bus loop gets
// it directly, another loop by one post per batch. It also knows how many sockets each board has in this process, which
// is what active_connections says: shards report joins and leaves, and a report is always older than the first message
// of the socket it is about.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/loop.h"
#include "board/activity.h"
#include "board/ports.h"
#include "hub/frame.h"
#include "telemetry/metrics.h"

namespace boardbus::hub {

class Shard;

class Hub final : public board::ActivitySink {
  public:
    Hub(Loop& bus_loop, WsEncoder encoder, telemetry::Metrics& metrics)
        : bus_loop_(bus_loop), encoder_(std::move(encoder)), metrics_(metrics) {}
    Hub(const Hub&) = delete;
    Hub& operator=(const Hub&) = delete;

    /// Every loop's shard, before the first event. Lifetime: shards outlive the hub's last event.
    void add_shard(Shard& shard);

    void on_activities(std::vector<board::ActivityView> activities) override;
    void on_break(board::HistoryBreak cause) override;
    void on_live(bool live) override;

    /// WebSocket connections of a board in this process.
    std::size_t websockets(std::string_view board) const;

    /// Thread: the shard's.
    void report_join(const Shard& shard, std::string_view board, Form form) { report(shard, board, form, +1); }
    void report_leave(const Shard& shard, std::string_view board, Form form) { report(shard, board, form, -1); }

  private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
    };
    /// How many readers a board has; "" are the readers of all boards.
    struct Readers {
        std::array<std::uint32_t, kForms> by_form{};
        std::vector<std::uint32_t> by_shard;

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
    void take_reports();
    void count(const Shard& shard, const std::string& board, Form form, int change);
    void add_event(Batch& batch, const board::ActivityView& activity);
    void want_by(const Readers& readers);
    void hand_over(Lane& lane, const std::shared_ptr<const Batch>& batch);

    // Constant after the start.
    Loop& bus_loop_;
    WsEncoder encoder_;
    telemetry::Metrics& metrics_;
    std::vector<std::unique_ptr<Lane>> lanes_;

    // Bus loop only.
    std::unordered_map<std::string, Readers, TextHash, std::equal_to<>> readers_;  // Bound: boards with a connection.
    std::string json_;                                                             // The event in hand.

    // Any thread.
    std::atomic<bool> reported_ = false;

    // Any thread, under the mutex.
    std::mutex reports_mutex_;
    std::vector<Report> reports_;  // Bound: what the other loops accept and close in one turn of the bus loop.
};

}  // namespace boardbus::hub

// SPDX-License-Identifier: Apache-2.0
#include "hub/hub.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "hub/shard.h"
#include "telemetry/log.h"

namespace boardbus::hub {
namespace {

// What may wait for one loop that is behind. A loop takes all that waits in one turn and coalesces it, so that this is
// reached only when it has not finished a turn for long; then its readers have to come back rather than the process to
// grow.
constexpr std::size_t kWaitingBytesMax = 64U << 20U;

}  // namespace

void Hub::add_shard(Shard& shard) {
    lanes_.push_back(std::make_unique<Lane>());
    lanes_.back()->shard = &shard;
}

void Hub::report(const Shard& shard, std::string_view board, Form form, int change) {
    if (&shard.loop() == &bus_loop_) {
        count(shard, std::string(board), form, change);
        return;
    }
    bool first = false;
    {
        const std::scoped_lock lock(reports_mutex_);
        first = reports_.empty();
        reports_.push_back({&shard, std::string(board), form, change});
        reported_.store(true, std::memory_order_release);
    }
    if (first) {
        bus_loop_.post([this] { take_reports(); });
    }
}

// Not by a post alone: an event that the reader's client caused through another socket may be read in a turn before the
// posted tasks are run, and then must find the reader counted.
void Hub::take_reports() {
    std::vector<Report> reports;
    {
        const std::scoped_lock lock(reports_mutex_);
        reports.swap(reports_);
        reported_.store(false, std::memory_order_release);
    }
    for (const Report& report : reports) {
        count(*report.shard, report.board, report.form, report.change);
    }
}

void Hub::count(const Shard& shard, const std::string& board, Form form, int change) {
    Readers& readers = readers_[board];
    readers.by_shard.resize(lanes_.size());
    const auto lane = std::find_if(lanes_.begin(), lanes_.end(), [&](const auto& l) { return l->shard == &shard; });
    assert(lane != lanes_.end());
    readers.by_form[static_cast<std::size_t>(form)] += static_cast<std::uint32_t>(change);
    readers.by_shard[static_cast<std::size_t>(lane - lanes_.begin())] += static_cast<std::uint32_t>(change);
    if (std::accumulate(readers.by_form.begin(), readers.by_form.end(), std::uint64_t{0}) == 0) {
        readers_.erase(board);
    }
}

std::size_t Hub::websockets(std::string_view board) const {
    const auto found = readers_.find(board);
    return found == readers_.end() ? 0 : std::size_t{found->second.of(Form::ws)} + found->second.of(Form::ws_deflate);
}

void Hub::on_activities(std::vector<board::ActivityView> activities) {
    if (reported_.load(std::memory_order_acquire)) {
        take_reports();
    }
    const auto batch = std::make_shared<Batch>();
    batch->arrived = bus_loop_.now();
    batch->events.reserve(activities.size());
    for (const auto& lane : lanes_) {
        lane->wanted = false;
    }
    const WallTime now = wall_now();
    for (const board::ActivityView& activity : activities) {
        if (activity.repeated) {
            continue;
        }
        add_event(*batch, activity);
        if (activity.published_at) {
            metrics_.latency(telemetry::Stage::received, now - *activity.published_at);
        }
    }
    for (const auto& lane : lanes_) {
        if (lane->wanted) {
            hand_over(*lane, batch);
        }
    }
}

void Hub::on_break(board::HistoryBreak cause) {
    telemetry::log(telemetry::Level::warn, "history_break",
                   {{"kind", cause.kind == board::HistoryBreak::Kind::replaced ? "replaced" : "trimmed"},
                    {"epoch", cause.epoch},
                    {"last_pos", static_cast<std::int64_t>(cause.last_pos)}});
}

void Hub::on_live(bool live) {
    telemetry::log(telemetry::Level::debug, live ? "events_live" : "events_interrupted");
}

void Hub::add_event(Batch& batch, const board::ActivityView& activity) {
    static const Readers nobody;
    const auto of_all = readers_.find(std::string_view());
    const auto of_board = readers_.find(std::string_view(activity.board));
    const Readers& all = of_all == readers_.end() ? nobody : of_all->second;
    const Readers& board = of_board == readers_.end() ? nobody : of_board->second;
    if (of_all == readers_.end() && of_board == readers_.end()) {
        return;
    }
    want_by(all);
    want_by(board);

    json_.assign(activity.before_count());
    json_ += std::to_string(board.of(Form::ws) + board.of(Form::ws_deflate));
    json_ += activity.after_count();

    EncodedEvent event;
    std::string& out = batch.bytes;
    const auto append = [&](auto&& make) {
        const std::size_t begin = out.size();
        make();
        return Slice{begin, out.size() - begin};
    };
    event.board = append([&] { out += activity.board; });
    if (board.of(Form::ws) + board.of(Form::ws_deflate) > 0) {
        event.forms[static_cast<std::size_t>(Form::ws)] = append([&] { encoder_.text(json_, out); });
        // Until the report of a compressing reader has come, the plain frame serves it: it is as good, only longer.
        event.forms[static_cast<std::size_t>(Form::ws_deflate)] = event.forms[static_cast<std::size_t>(Form::ws)];
    }
    if (board.of(Form::ws_deflate) > 0) {
        event.forms[static_cast<std::size_t>(Form::ws_deflate)] = append([&] { encoder_.deflated(json_, out); });
    }
    if (all.of(Form::sse_chunked) + all.of(Form::sse_plain) + board.of(Form::sse_chunked) + board.of(Form::sse_plain) >
        0) {
        const SseSlices sse = append_sse(out, activity.id, activity.action, json_);
        event.forms[static_cast<std::size_t>(Form::sse_chunked)] = sse.chunk;
        event.forms[static_cast<std::size_t>(Form::sse_plain)] = sse.plain;
    }
    batch.events.push_back(event);
}

void Hub::want_by(const Readers& readers) {
    for (std::size_t i = 0; i < readers.by_shard.size(); ++i) {
        lanes_[i]->wanted = lanes_[i]->wanted || readers.by_shard[i] > 0;
    }
}

void Hub::hand_over(Lane& lane, const std::shared_ptr<const Batch>& batch) {
    if (&lane.shard->loop() == &bus_loop_) {
        lane.shard->deliver(*batch);
        return;
    }
    const std::size_t waiting = lane.waiting_bytes.load(std::memory_order_relaxed);
    if (waiting > kWaitingBytesMax) {
        if (!std::exchange(lane.overrun, true)) {
            lane.shard->loop().post([shard = lane.shard] { shard->on_overrun(); });
        }
        return;
    }
    if (std::exchange(lane.overrun, false)) {
        // Who joined in the meantime has missed events, too.
        lane.shard->loop().post([shard = lane.shard] { shard->on_overrun(); });
    }
    lane.waiting_bytes.fetch_add(batch->bytes.size(), std::memory_order_relaxed);
    lane.shard->loop().post([&lane, batch] {
        lane.waiting_bytes.fetch_sub(batch->bytes.size(), std::memory_order_relaxed);
        lane.shard->deliver(*batch);
    });
}

}  // namespace boardbus::hub

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

// Replays wait when this much does: live events come first.
constexpr std::size_t kReplaysWaitBytes = 16U << 20U;

// Shorter interruptions are over before a person could act on them.
constexpr std::chrono::seconds kQuietTime{2};

}  // namespace

Hub::Hub(Loop& bus_loop, WsEncoder encoder, telemetry::Metrics& metrics, RingBounds ring)
    : bus_loop_(bus_loop),
      encoder_(std::move(encoder)),
      metrics_(metrics),
      ring_(ring),
      reads_(bus_loop, ring_),
      repairs_(*this),
      resumes_(*this),
      quiet_timer_(bus_loop, [this] { tell_live(false); }) {
    quiet_timer_.start(kQuietTime);
}

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
        first = !reported_.exchange(true, std::memory_order_release);
        reports_.push_back({&shard, std::string(board), form, change});
    }
    wake(first);
}

void Hub::resume(ResumeRequest request) {
    bool first = false;
    {
        const std::scoped_lock lock(reports_mutex_);
        first = !reported_.exchange(true, std::memory_order_release);
        requests_.push_back(std::move(request));
    }
    wake(first);
}

void Hub::wake(bool first) {
    if (first) {
        bus_loop_.post([this] { take_reports(); });
    }
}

// Not by a post alone: an event that the reader's client caused through another socket may be read in a turn before the
// posted tasks are run, and then must find the reader counted.
void Hub::take_reports() {
    if (!reported_.load(std::memory_order_acquire)) {
        return;
    }
    std::vector<Report> reports;
    std::vector<ResumeRequest> requests;
    {
        const std::scoped_lock lock(reports_mutex_);
        reports.swap(reports_);
        requests.swap(requests_);
        reported_.store(false, std::memory_order_release);
    }
    for (const Report& report : reports) {
        count(*report.shard, report.board, report.form, report.change);
    }
    for (ResumeRequest& request : requests) {
        resumes_.take(std::move(request));
    }
}

void Hub::count(const Shard& shard, const std::string& board, Form form, int change) {
    Readers& readers = readers_[board];
    readers.by_shard.resize(lanes_.size());
    const auto lane = std::ranges::find(lanes_, &shard, [](const auto& one) { return one->shard; });
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

void Hub::count_in(const Shard& shard, const std::vector<std::string>& boards, Form form,
                   std::optional<std::uint64_t> seq) {
    static const std::vector<std::string> kAll{""};
    for (const std::string& board : boards.empty() ? kAll : boards) {
        count(shard, board, form, +1);
        Readers& readers = readers_.find(board)->second;
        const KeptEvent* last = ring_.last_of(board);
        if (last != nullptr) {
            readers.seq = last->seq;
        } else if (seq && readers.seq == 0) {
            readers.seq = *seq;
        }
    }
}

void Hub::on_activities(std::vector<board::ActivityView> activities) {
    take_reports();
    if (repairs_.active()) {
        repairs_.keep(std::move(activities));
        return;
    }
    show(std::move(activities));
    if (resumes_.anybody_parked()) {
        resumes_.look_again();
    }
}

void Hub::show(std::vector<board::ActivityView> activities) {
    const auto batch = std::make_shared<Batch>();
    batch->arrived = bus_loop_.now();
    batch->events.reserve(activities.size());
    const WallTime now = wall_now();
    std::size_t shown = 0;
    for (; shown < activities.size(); ++shown) {
        board::ActivityView& activity = activities[shown];
        const auto& place = activity.position;
        if (place && !continues(*place)) {
            if (place->epoch == ring_.epoch() && place->pos <= ring_.last()) {
                continue;  // Seen already.
            }
            break;
        }
        add_event(*batch, activity);
        if (activity.published_at) {
            metrics_.latency(telemetry::Stage::received, now - *activity.published_at);
        }
        ring_.push(std::move(activity));
    }
    hand_over(batch);
    if (shown < activities.size()) {
        // The source should have told a break first. Readers hear the truth all the same.
        const board::Position& place = *activities[shown].position;
        const auto kind =
            place.epoch == ring_.epoch() ? board::HistoryBreak::Kind::trimmed : board::HistoryBreak::Kind::replaced;
        on_break({.kind = kind, .epoch = place.epoch, .last_pos = place.pos - 1});
        activities.erase(activities.begin(), activities.begin() + static_cast<std::ptrdiff_t>(shown));
        on_activities(std::move(activities));
    }
}

/// Whether an event is the next one. The first of all sets the place.
bool Hub::continues(const board::Position& place) {
    if (!ring_.begun() || (ring_.epoch().empty() && ring_.last() == 0 && place.pos == 1)) {
        on_begin(place.epoch, place.pos - 1);
    }
    return place.epoch == ring_.epoch() && place.pos == ring_.last() + 1;
}

void Hub::on_begin(std::string epoch, std::uint64_t last_pos) {
    take_reports();
    if (ring_.epoch().empty() && last_pos > 0) {
        // Who is on a board already joined without a place: what has happened since is not known, and not shown.
        std::vector<std::string> boards;
        boards.reserve(readers_.size());
        for (const auto& [board, readers] : readers_) {
            boards.push_back(board);
        }
        for (const std::string& board : boards) {
            tell({.kind = Notice::Kind::cut, .board = board});
        }
    }
    ring_.begin(std::move(epoch), last_pos);
    tell_epoch();
    resumes_.look_again();
}

void Hub::on_break(board::HistoryBreak cause) {
    telemetry::log(telemetry::Level::warn, "history_break",
                   {{"kind", cause.kind == board::HistoryBreak::Kind::replaced ? "replaced" : "trimmed"},
                    {"epoch", cause.epoch},
                    {"last_pos", static_cast<std::int64_t>(cause.last_pos)}});
    if (!ring_.begun() || (ring_.epoch().empty() && ring_.last() == 0)) {
        on_begin(std::move(cause.epoch), cause.last_pos);  // There was no history: nobody has seen anything of one.
        return;
    }
    take_reports();
    for (const auto& lane : lanes_) {
        post_in_order(*lane, 0, [shard = lane->shard] { shard->cut_shared(); });
    }
    const std::uint64_t seen = ring_.last();
    ring_.begin(cause.epoch, cause.last_pos);
    tell_epoch();
    std::vector<Repairs::Board> boards;
    for (auto& [board, readers] : readers_) {
        if (cause.kind == board::HistoryBreak::Kind::replaced) {
            readers.seq = 0;
        }
        if (!board.empty()) {
            boards.push_back({.name = board, .seq = readers.seq});
        }
    }
    repairs_.begin(cause.kind, seen, std::move(boards));
}

void Hub::end_repair(std::vector<board::ActivityView> waited) {
    show(std::move(waited));
    resumes_.look_again();
}

void Hub::show_repaired(std::vector<board::ActivityView> activities) {
    const auto batch = std::make_shared<Batch>();
    batch->arrived = bus_loop_.now();
    batch->for_streams_of_all = false;
    for (const board::ActivityView& activity : activities) {
        add_event(*batch, activity);
    }
    metrics_.history_gap_filled(activities.size());
    hand_over(batch);
}

void Hub::tell(const Notice& notice) {
    const auto found = readers_.find(std::string_view(notice.board));
    if (found == readers_.end()) {
        return;
    }
    if (notice.kind == Notice::Kind::gap && !notice.board.empty()) {
        found->second.seq = notice.to;  // The next gap begins behind it.
    }
    const auto encoded = std::make_shared<const EncodedNotice>(encode_notice(notice, encoder_));
    // A copy: the readers of this loop hear at once, and the last one that leaves takes its board's entry with it.
    const std::vector<std::uint32_t> by_shard = found->second.by_shard;
    for (std::size_t i = 0; i < by_shard.size(); ++i) {
        if (by_shard[i] > 0) {
            post_in_order(*lanes_[i], 0,
                          [shard = lanes_[i]->shard, board = notice.board, encoded] { shard->tell(board, *encoded); });
        }
    }
}

void Hub::on_live(bool live) {
    live_ = live;
    if (!live) {
        quiet_timer_.start(kQuietTime);
        return;
    }
    quiet_timer_.stop();
    tell_live(true);
    resumes_.look_again();
}

void Hub::tell_live(bool live) {
    if (std::exchange(told_live_, live) != live) {
        for (const auto& lane : lanes_) {
            post_in_order(*lane, 0, [shard = lane->shard, live] { shard->on_live(live); });
        }
    }
}

void Hub::tell_epoch() {
    for (const auto& lane : lanes_) {
        post_in_order(*lane, 0, [shard = lane->shard, epoch = ring_.epoch()] { shard->on_epoch(epoch); });
    }
}

void Hub::read_past(const Shard& shard, std::string board, std::uint64_t before, std::size_t limit, PastDone done) {
    bus_loop_.post([this, &shard, board = std::move(board), before, limit, done = std::move(done)]() mutable {
        const auto answer = [this, &shard](PastDone told, Result<SharedPast> past, std::size_t bytes = 0) {
            post_in_order(lane_of(shard), bytes,
                          [told = std::move(told), past = std::move(past)]() mutable { told(std::move(past)); });
        };
        if (!reads_.has_room()) {
            answer(std::move(done), fail(Errc::overloaded, "too many questions to the history"));
            return;
        }
        const HistoryQuestion question{
            .kind = HistoryQuestion::Kind::board_before, .board = std::move(board), .from = before, .limit = limit};
        reads_.ask(question, [this, &shard, answer, done = std::move(done)](const SharedReply& reply) mutable {
            if (!reply->page) {
                answer(std::move(done), std::unexpected(reply->page.error()));
                return;
            }
            if (is_behind(shard)) {
                answer(std::move(done), fail(Errc::overloaded, "too much waits for the loop"));
                return;
            }
            std::size_t bytes = 0;  // Of all who share the page, the first counts it.
            if (!reply->past) {
                PastEvents past{.page = {reply->page->epoch, {}, reply->page->first, reply->page->last}, .events = {}};
                for (const board::ActivityView& event : reply->page->events) {
                    fill_count(event, 0);
                    bytes += json_.size();
                    past.events.push_back(json_);
                    past.page.events.push_back({.position = event.position});
                }
                reply->past = std::make_shared<const PastEvents>(std::move(past));
            }
            answer(std::move(done), reply->past, bytes);
        });
    });
}

void Hub::append(std::string& out, Form form, const KeptEvent& event, std::size_t more) {
    json_.assign(event.before_count());
    json_ += std::to_string(websockets(*event.board) + more);
    json_ += event.after_count();
    const std::string id = board::encode_cursor(ring_.cursor_of(event));
    append_event(out, form, encoder_, {.id = id, .name = event.action, .json = json_});
}

void Hub::append(std::string& out, Form form, const board::ActivityView& event, std::size_t more) {
    fill_count(event, more);
    append_event(out, form, encoder_, {.id = event.stream_id(), .name = event.action, .json = json_});
}

/// Puts the event with its count into json_.
void Hub::fill_count(const board::ActivityView& event, std::size_t more) {
    json_.assign(event.before_count());
    json_ += std::to_string(websockets(event.board) + more);
    json_ += event.after_count();
}

void Hub::add_event(Batch& batch, const board::ActivityView& activity) {
    static const Readers kNobody;
    const auto of_all = batch.for_streams_of_all ? readers_.find(std::string_view()) : readers_.end();
    const auto of_board = readers_.find(std::string_view(activity.board));
    const Readers& all = of_all == readers_.end() ? kNobody : of_all->second;
    const Readers& board = of_board == readers_.end() ? kNobody : of_board->second;
    if (of_all == readers_.end() && of_board == readers_.end()) {
        return;
    }
    want_by(all);
    want_by(board);
    if (of_board != readers_.end() && activity.position) {
        of_board->second.seq = activity.position->seq;
    }
    fill_count(activity, 0);

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
        const SseSlices sse = append_sse(out, activity.stream_id(), activity.action, json_);
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

void Hub::hand_over(const std::shared_ptr<const Batch>& batch) {
    for (const auto& lane : lanes_) {
        if (std::exchange(lane->wanted, false) && !batch->events.empty()) {
            hand_over(*lane, batch);
        }
    }
}

void Hub::hand_over(Lane& lane, const std::shared_ptr<const Batch>& batch) {
    if (lane.waiting_bytes.load(std::memory_order_relaxed) > kWaitingBytesMax) {
        if (!std::exchange(lane.overrun, true)) {
            lane.shard->loop().post([shard = lane.shard] { shard->on_overrun(); });
        }
        return;
    }
    if (std::exchange(lane.overrun, false)) {
        // Who joined in the meantime has missed events, too.
        lane.shard->loop().post([shard = lane.shard] { shard->on_overrun(); });
    }
    post_in_order(lane, batch->bytes.size(), [shard = lane.shard, batch] { shard->deliver(*batch); });
}

/// Everything that the hub hands to a loop goes through here, so that it arrives in the order in which it happened.
void Hub::post_in_order(Lane& lane, std::size_t bytes, Task task) {
    if (&lane.shard->loop() == &bus_loop_) {
        task();
        return;
    }
    lane.waiting_bytes.fetch_add(bytes, std::memory_order_relaxed);
    lane.shard->loop().post([&lane, bytes, task = std::move(task)]() mutable {
        lane.waiting_bytes.fetch_sub(bytes, std::memory_order_relaxed);
        task();
    });
}

Hub::Lane& Hub::lane_of(const Shard& shard) const {
    return **std::ranges::find(lanes_, &shard, [](const auto& one) { return one->shard; });
}

bool Hub::is_behind(const Shard& shard) const {
    return lane_of(shard).waiting_bytes.load(std::memory_order_relaxed) > kReplaysWaitBytes;
}

void Hub::post_answer(const Shard& shard, ResumeAnswer answer, std::move_only_function<void(ResumeAnswer)> done) {
    Lane& lane = lane_of(shard);
    if (answer.joined && std::exchange(lane.overrun, false)) {
        // Who joined in the meantime has missed events, too; and the next one that is dropped must be told behind this answer.
        lane.shard->loop().post([shard = lane.shard] { shard->on_overrun(); });
    }
    const std::size_t bytes = answer.bytes.size();
    post_in_order(lane, bytes,
                  [answer = std::move(answer), done = std::move(done)]() mutable { done(std::move(answer)); });
}

}  // namespace boardbus::hub

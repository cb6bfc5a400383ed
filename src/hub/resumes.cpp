// SPDX-License-Identifier: Apache-2.0
#include "hub/resumes.h"

#include <algorithm>
#include <utility>

#include "board/activity.h"
#include "hub/hub.h"

namespace boardbus::hub {
namespace {

using board::ActivityView;
using board::Cursor;
using Kind = ResumePoint::Kind;

// The most events that one resume brings; what is older is a gap. Of a stream of several boards, which has to look at the
// events of all, the most that it looks at.
constexpr std::uint64_t kReplayEvents = 20'000;
constexpr std::uint64_t kScanEvents = 100'000;

constexpr std::size_t kPageEvents = 257;  // 256 and the cursor's own.
constexpr std::size_t kScanPage = 1'000;
constexpr std::size_t kTailPage = 16;  // To find a board's last event: more only when that many are on their way.

// What is encoded in one turn of the bus loop: 4 MiB cost about 2 ms, which live events have to wait.
constexpr std::size_t kBytesPerTurn = 4 << 20;

// An attempt every 250 ms, for 10 s while the bus is live. While it is not, nothing is shown to anybody, so there is nothing
// to miss, and the wait has no end.
constexpr std::chrono::milliseconds kRetryDelay{250};
constexpr int kTriesMax = 40;
// Who has no cursor needs the history only to know where it begins; its events are not kept waiting longer than a second.
constexpr int kTriesMaxNow = 4;

}  // namespace

struct Resumes::Waiter {
    ResumeRequest request;
    std::uint64_t began_at = 0;  ///< Kind::now: the place of the process when it asked.
    std::uint64_t placed_in = 0;  ///< The ring's generation of `began_at`; 0: there was no place yet.
    bool resyncs = false;        ///< Its cursor is void; it begins now and is told so.
    bool came_back = false;      ///< It asked with a cursor; counted by result once.
    bool gap = false;
    bool read = false;  ///< The history was asked.
    std::uint64_t before = UINT64_MAX;  ///< Kind::now: the board's history is being read backwards from here.
    bool looked = false;          ///< For the first event of its board.
    std::uint64_t begins_at = 0;  ///< Where that is, when it was found.
    std::uint64_t until = 0;     ///< Parked: the position that the process has to come to.
    std::uint64_t until_in = 0;  ///< The ring's generation of `until`.
    int tries = 0;
    std::optional<std::uint64_t> seq;
    std::string bytes;
    SharedReply reply;

    const std::string& board() const { return request.boards.front(); }
    bool of_one_board() const { return request.boards.size() == 1; }
    bool is_filter() const { return request.boards.size() > 1; }
    bool is_full() const { return bytes.size() >= request.slice_bytes; }
    bool is_websocket() const { return request.form == Form::ws || request.form == Form::ws_deflate; }
    std::uint64_t number(const board::Position& place) const { return of_one_board() ? place.seq : place.pos; }
    std::uint64_t number() const { return number(request.point.after.position); }
    bool wants(std::string_view board) const {
        return request.boards.empty() || std::ranges::binary_search(request.boards, board);
    }
};

Resumes::Resumes(Hub& hub)
    : hub_(hub), retry_timer_(hub.loop(), [this] {
          std::ranges::move(again_, std::back_inserter(due_));
          again_.clear();
          work();
      }) {}

Resumes::~Resumes() = default;

void Resumes::take(ResumeRequest request) {
    auto who = std::make_unique<Waiter>();
    who->request = std::move(request);
    who->placed_in = hub_.ring().generation();
    who->began_at = hub_.ring().last();
    if (who->request.point.kind == Kind::now) {
        go_on(std::move(who));  // Cheap; and what it begins with should be as new as can be.
        return;
    }
    who->came_back = who->request.point.kind != Kind::next_slice;
    due_.push_back(std::move(who));
    plan_work();
}

void Resumes::look_again() {
    const ActivityRing& ring = hub_.ring();
    const auto waits_on = [&](const Who& who) {
        return who->until_in == ring.generation() && who->until > ring.last();
    };
    const auto ready = std::ranges::stable_partition(parked_, waits_on);
    std::ranges::move(ready, std::back_inserter(due_));
    parked_.erase(ready.begin(), ready.end());
    plan_work();
}

/// Waits until the process has shown the event at `pos`, which is in the history already.
void Resumes::wait_for(Who who, std::uint64_t pos) {
    who->until = pos;
    who->until_in = hub_.ring().generation();
    parked_.push_back(std::move(who));
}

void Resumes::plan_work() {
    if (!due_.empty() && !std::exchange(work_planned_, true)) {
        hub_.loop().post([this] { work(); });
    }
}

void Resumes::work() {
    work_planned_ = false;
    answered_bytes_ = 0;
    // Those who are due now: one that cannot go on comes back to a list and must not be met again in this turn.
    for (std::size_t left = due_.size(); left > 0 && answered_bytes_ < kBytesPerTurn; --left) {
        Who who = std::move(due_.front());
        due_.pop_front();
        if (hub_.is_behind(*who->request.shard)) {
            try_later(std::move(who));
            continue;
        }
        go_on(std::move(who));
    }
    plan_work();
}

void Resumes::go_on(Who who) {
    if (!hub_.is_settled()) {
        who->reply.reset();  // Who waits holds no page: the repair needs them.
        parked_.push_back(std::move(who));
        return;
    }
    if (const SharedReply reply = std::exchange(who->reply, nullptr);
        reply && reply->generation == hub_.ring().generation()) {
        take_page(std::move(who), reply);
        return;
    }
    switch (who->request.point.kind) {
        case Kind::now:
            begin_now(std::move(who));
            break;
        case Kind::unreadable:
            resync(std::move(who));
            break;
        case Kind::next_slice:
            if (who->request.point.generation != hub_.ring().generation()) {
                who->request.point.kind = Kind::cursor;
            }
            follow_cursor(std::move(who));
            break;
        case Kind::cursor:
            follow_cursor(std::move(who));
            break;
    }
}

void Resumes::resync(Who who) {
    who->request.point = {};
    who->resyncs = true;
    who->bytes.clear();
    who->placed_in = 0;
    begin_now(std::move(who));
}

// ---- From now on.

void Resumes::begin_now(Who who) {
    const ActivityRing& ring = hub_.ring();
    if (who->placed_in != ring.generation()) {
        who->before = UINT64_MAX;
        who->placed_in = ring.generation();  // The place was not known when it asked, or there was a break since.
        who->began_at = ring.last();
    }
    if (!who->of_one_board()) {
        const Cursor here{{ring.epoch(), who->began_at, 0}, ring.hash_at(who->began_at)};
        join_now(std::move(who), {}, ring.epoch().empty() ? std::string() : board::encode_cursor(here));
        return;
    }
    const KeptEvent* last = ring.last_of(who->board());
    if (last == nullptr) {
        ask(std::move(who));
        return;
    }
    const KeptEvent* next = ring.next_of(who->board(), who->began_at);
    if (next == nullptr) {
        join_now(std::move(who), last->seq, board::encode_cursor(ring.cursor_of(*last)));
    } else {
        const Cursor before{{ring.epoch(), who->began_at, next->seq - 1}, 0};
        join_now(std::move(who), before.position.seq, board::encode_cursor(before));
    }
}

void Resumes::take_last_seq(Who who, const HistoryReply& reply) {
    const ActivityRing& ring = hub_.ring();
    const board::HistoryPage& page = *reply.page;
    if (!page.epoch.empty() && page.epoch != ring.epoch()) {
        retry(std::move(who));  // The history has been replaced, and the process will hear of it in a moment.
        return;
    }
    if (ring.last_of(who->board()) != nullptr || ring.before() > std::min(reply.asked_at, who->began_at)) {
        who->before = UINT64_MAX;  // The board has gone on since, or may have.
        if (ring.before() > who->began_at) {
            who->placed_in = 0;
            retry(std::move(who));
        } else {
            begin_now(std::move(who));
        }
        return;
    }
    const ActivityView* last = nullptr;
    for (const ActivityView& event : page.events) {
        if (event.position->pos <= who->began_at) {
            last = &event;
        }
    }
    if (last == nullptr && !page.events.empty() && page.events.front().position->seq > page.first) {
        who->before = page.events.front().position->seq;
        ask(std::move(who));
        return;
    }
    std::uint64_t seq = std::min(page.last, who->before - 1);
    if (last != nullptr) {
        seq = last->position->seq;
    } else if (!page.events.empty()) {
        const board::Position& oldest = *page.events.front().position;
        if (oldest.pos > ring.last() + 1) {
            wait_for(std::move(who), oldest.pos - 1);  // A short history: it may have lost what is about to be shown.
            return;
        }
        seq = oldest.seq - 1;
    }
    Cursor cursor{{ring.epoch(), who->began_at, seq}, 0};
    if (last != nullptr) {
        cursor = {*last->position, board::event_hash(last->id)};
    }
    join_now(std::move(who), seq, ring.epoch().empty() ? std::string() : board::encode_cursor(cursor));
}

void Resumes::join_now(Who who, std::optional<std::uint64_t> seq, std::string cursor) {
    const ActivityRing& ring = hub_.ring();
    if (who->resyncs) {
        const bool one = who->of_one_board();
        append_notice(who->bytes, who->request.form, hub_.encoder(),
                      {.kind = Notice::Kind::resync,
                       .board = one ? who->board() : std::string(),
                       .epoch = ring.epoch(),
                       .to = one ? seq.value_or(0) : who->began_at,
                       .cursor = cursor});
    }
    if (who->of_one_board()) {
        // What was shown while the history was asked. Bound: the ring.
        for (const KeptEvent* event = ring.next_of(who->board(), who->began_at); event != nullptr;
             event = ring.at(event->next_of_board)) {
            append(*who, *event);
        }
    }
    who->seq = seq;
    join(std::move(who), {.cursor = std::move(cursor)});
}

// ---- Behind a cursor.

void Resumes::follow_cursor(Who who) {
    const ActivityRing& ring = hub_.ring();
    const Cursor& after = who->request.point.after;
    const std::uint64_t pos = after.position.pos;
    const bool same = after.position.epoch == ring.epoch();
    if (!same || pos > ring.last() || pos < ring.before()) {
        ask(std::move(who));
        return;
    }
    const std::uint32_t hash = ring.hash_at(pos);
    if (after.event_hash != 0 && hash != 0 && hash != after.event_hash) {
        resync(std::move(who));
    } else if (after.event_hash != 0 && hash == 0 && who->request.point.kind == Kind::cursor) {
        ask(std::move(who));
    } else {
        serve_ring(std::move(who), pos);
    }
}

void Resumes::serve_ring(Who who, std::uint64_t pos) {
    const ActivityRing& ring = hub_.ring();
    const bool one = who->of_one_board();
    const KeptEvent* event = one ? ring.next_of(who->board(), pos) : ring.at(pos + 1);
    while (event != nullptr) {
        if (who->wants(*event->board)) {
            append(*who, *event);
        }
        const KeptEvent* next = one ? ring.at(event->next_of_board) : ring.at(event->pos + 1);
        if (who->is_full() && next != nullptr) {
            next_slice(std::move(who), ring.cursor_of(*event));
            return;
        }
        event = next;
    }
    if (one && !who->seq) {
        const KeptEvent* last = ring.last_of(who->board());
        who->seq = last != nullptr ? last->seq : who->request.point.after.position.seq;
    }
    join(std::move(who), {});
}

void Resumes::take_page(Who who, const SharedReply& reply) {
    if (!reply->page) {
        retry(std::move(who));
        return;
    }
    if (who->request.point.kind == Kind::now) {
        take_last_seq(std::move(who), *reply);
        return;
    }
    const ActivityRing& ring = hub_.ring();
    const board::HistoryPage& page = *reply->page;
    const Cursor& after = who->request.point.after;
    if (!page.epoch.empty() && page.epoch != ring.epoch()) {
        retry(std::move(who));  // The process will hear of the other history in a moment.
        return;
    }
    const bool found = !page.events.empty() && who->number(*page.events.front().position) == who->number();
    const bool other = found && who->request.point.kind == Kind::cursor && after.event_hash != 0 &&
                       after.event_hash != board::event_hash(page.events.front().id);
    if (after.position.epoch != page.epoch || page.last < who->number() || other) {
        resync(std::move(who));
    } else if (after.position.pos > ring.last()) {
        wait_for(std::move(who), after.position.pos);  // Another process was faster: this one will come to it.
    } else {
        take_events(std::move(who), reply);
    }
}

// A board without a number begins with that of its place. To a reader whose cursor is from before (seq 0) nothing is missing
// then, however large the number. An event with seq = pos is the first of its board, unless the one before it, which would
// have seq - 1 = pos - 1, belongs to the board too.

bool Resumes::is_first(const Waiter& waiter, const ActivityView& event) {
    const board::Position& place = *event.position;
    return waiter.of_one_board() && waiter.number() == 0 &&
           (waiter.begins_at == place.pos || waiter.request.point.after.position.pos + 1 == place.pos);
}

/// Shows the page again when it is known whether its first event is the first of the board.
bool Resumes::ask_before_first(Who& who, const SharedReply& page) {
    if (!who->of_one_board() || who->number() != 0 || page->page->events.empty() || who->looked) {
        return false;
    }
    const board::Position& place = *page->page->events.front().position;
    if (place.seq != place.pos || is_first(*who, page->page->events.front()) || !hub_.reads().has_room()) {
        return false;
    }
    const HistoryQuestion question{
        .kind = HistoryQuestion::Kind::all_after, .board = {}, .from = place.pos - 2, .limit = 1};
    hub_.reads().ask(question, [this, who = std::move(who), page, place](const SharedReply& reply) mutable {
        who->looked = true;
        const bool known = reply->page && !reply->page->events.empty() &&
                           reply->page->events.front().position->pos + 1 == place.pos;
        if (known && reply->page->events.front().board != who->board()) {
            who->begins_at = place.pos;
        }
        who->reply = page;
        due_.push_back(std::move(who));
        plan_work();
    });
    return true;
}

void Resumes::take_events(Who who, const SharedReply& shared) {
    const ActivityRing& ring = hub_.ring();
    const HistoryReply& reply = *shared;
    const board::HistoryPage& page = *reply.page;
    board::Position& at = who->request.point.after.position;
    who->request.point.after.event_hash = 0;
    if (who->of_one_board()) {
        who->seq = page.last;
    }
    if (ask_before_first(who, shared)) {
        return;
    }
    const std::uint64_t most = who->is_filter() ? kScanEvents : kReplayEvents;
    // What is not kept cannot be replayed: it does not count, and take_event() says it.
    const std::uint64_t kept_behind = std::max(who->number(), page.first == 0 ? 0 : page.first - 1);
    if (page.last - kept_behind > most) {
        say_gap(*who, who->number() + 1, page.last - most);
        (who->of_one_board() ? at.seq : at.pos) = page.last - most;
        who->request.point.kind = Kind::next_slice;
        who->request.point.generation = ring.generation();
        ask(std::move(who));
        return;
    }
    std::uint64_t expected = who->number() + 1;
    for (const ActivityView& event : page.events) {
        switch (take_event(*who, event, expected)) {
            case Step::taken:
                break;
            case Step::from_ring:
                serve_ring(std::move(who), at.pos);
                return;
            case Step::wait:
                wait_for(std::move(who), event.position->pos - 1);
                return;
            case Step::ahead:
                join(std::move(who), {});  // It, and what follows, is about to be shown.
                return;
        }
        if (who->is_full()) {
            next_slice(std::move(who), {*event.position, board::event_hash(event.id)});
            return;
        }
    }
    if (page.events.empty() && page.last >= expected) {
        say_gap(*who, expected, page.last);
        (who->of_one_board() ? at.seq : at.pos) = page.last;
    }
    const bool complete = page.events.empty() || who->number(*page.events.back().position) >= page.last;
    // A complete page lacks nothing that had been shown when it was asked for.
    const std::uint64_t pos = complete ? std::max(at.pos, reply.asked_at) : at.pos;
    if (pos >= ring.before() && (complete || !who->of_one_board())) {
        serve_ring(std::move(who), std::min(pos, ring.last()));
    } else if (!who->bytes.empty()) {
        next_slice(std::move(who), who->request.point.after);
    } else {
        who->request.point.kind = Kind::next_slice;
        who->request.point.generation = ring.generation();
        ask(std::move(who));
    }
}

Resumes::Step Resumes::take_event(Waiter& waiter, const ActivityView& event, std::uint64_t& expected) {
    const board::Position& place = *event.position;
    board::Cursor& after = waiter.request.point.after;
    const std::uint64_t number = waiter.number(place);
    if (number < expected) {
        return Step::taken;
    }
    if (place.pos <= after.position.pos) {
        expected = number + 1;  // A cursor of all boards says nothing about the sequence of this one.
        return Step::taken;
    }
    if (number > expected && !is_first(waiter, event)) {
        const Step step = take_gap(waiter, place, expected);
        if (step != Step::taken) {
            return step;
        }
    }
    if (place.pos > hub_.ring().last()) {
        return Step::ahead;
    }
    expected = number + 1;
    after = {place, board::event_hash(event.id)};
    if (waiter.wants(event.board)) {
        append(waiter, event);
    }
    return Step::taken;
}

/// Between the cursor and the event at `next` the history has nothing any more. But a short history may have lost even what the
/// process has just shown, or is about to show.
Resumes::Step Resumes::take_gap(Waiter& waiter, const board::Position& next, std::uint64_t expected) {
    const ActivityRing& ring = hub_.ring();
    board::Position& at = waiter.request.point.after.position;
    if (!waiter.of_one_board()) {
        if (ring.before() + 1 >= next.pos) {
            say_gap(waiter, expected, next.pos - 1);
            return Step::taken;
        }
        if (ring.before() >= expected) {
            say_gap(waiter, expected, ring.before());
        }
        at.pos = std::max(at.pos, ring.before());
        return Step::from_ring;
    }
    const KeptEvent* kept = ring.next_of(waiter.board(), std::max(at.pos, ring.before()));
    if (kept != nullptr && kept->seq < next.seq) {
        if (kept->seq > expected) {
            say_gap(waiter, expected, kept->seq - 1);
        }
        at.pos = kept->pos - 1;
        return Step::from_ring;
    }
    if (next.pos > ring.last() + 1) {
        return Step::wait;
    }
    say_gap(waiter, expected, next.seq - 1);
    return Step::taken;
}

// ---- Both.

void Resumes::ask(Who who) {
    const ResumePoint& point = who->request.point;
    HistoryQuestion question;
    if (who->of_one_board()) {
        question.board = who->board();
    }
    if (point.kind == Kind::now) {
        question.kind = HistoryQuestion::Kind::board_before;
        question.from = who->before;
        question.limit = kTailPage;
    } else {
        question.kind =
            who->of_one_board() ? HistoryQuestion::Kind::board_after : HistoryQuestion::Kind::all_after;
        // With the cursor's own event, to see that it is the same one.
        const bool inclusive = point.kind == Kind::cursor && who->number() > 0;
        question.from = who->number() - (inclusive ? 1 : 0);
        question.limit = who->is_filter() ? kScanPage : kPageEvents;
    }
    if (!hub_.reads().has_room()) {
        retry(std::move(who));
        return;
    }
    who->read = true;
    hub_.reads().ask(question, [this, who = std::move(who)](const SharedReply& reply) mutable {
        who->reply = reply;
        due_.push_back(std::move(who));
        plan_work();
    });
}

void Resumes::retry(Who who) {
    who->tries += hub_.is_live() ? 1 : 0;
    const bool is_plain = who->request.point.kind == Kind::now && !who->resyncs;
    if (who->tries < (is_plain ? kTriesMaxNow : kTriesMax)) {
        try_later(std::move(who));
    } else if (is_plain) {
        join_now(std::move(who), {}, {});
    } else {
        answer(std::move(who), {.failed = true});
    }
}

void Resumes::try_later(Who who) {
    again_.push_back(std::move(who));
    if (!retry_timer_.running()) {
        retry_timer_.start(kRetryDelay);
    }
}

void Resumes::say_gap(Waiter& waiter, std::uint64_t from, std::uint64_t to) {
    const bool one = waiter.of_one_board();
    board::Cursor behind{waiter.request.point.after.position, 0};
    (one ? behind.position.seq : behind.position.pos) = to;
    append_notice(waiter.bytes, waiter.request.form, hub_.encoder(),
                  {.kind = Notice::Kind::gap,
                   .board = one ? waiter.board() : std::string(),
                   .from = from,
                   .to = to,
                   .cursor = board::encode_cursor(behind)});
    waiter.gap = true;
}

void Resumes::append(Waiter& waiter, const KeptEvent& event) {
    hub_.append(waiter.bytes, waiter.request.form, event, waiter.is_websocket() ? 1 : 0);
}

void Resumes::append(Waiter& waiter, const ActivityView& event) {
    hub_.append(waiter.bytes, waiter.request.form, event, waiter.is_websocket() ? 1 : 0);
}

void Resumes::next_slice(Who who, const Cursor& next) {
    ResumeAnswer slice;
    slice.next = {.kind = Kind::next_slice, .after = next, .generation = hub_.ring().generation()};
    answer(std::move(who), std::move(slice));
}

void Resumes::join(Who who, ResumeAnswer answer_) {
    hub_.count_in(*who->request.shard, who->request.boards, who->request.form, who->seq);
    answer_.joined = true;
    answer(std::move(who), std::move(answer_));
}

void Resumes::answer(Who who, ResumeAnswer answer_) {
    answer_.recovered = !who->gap && !who->resyncs && who->request.point.kind != Kind::now;
    answer_.bytes = std::move(who->bytes);
    answer_.epoch = hub_.ring().epoch();
    answer_.seq = who->seq;
    if (who->came_back && !answer_.failed) {
        using telemetry::ResumeResult;
        hub_.metrics().resumed(who->resyncs ? ResumeResult::resync
                               : who->gap   ? ResumeResult::gap
                               : who->read  ? ResumeResult::history
                                            : ResumeResult::ring);
    }
    answered_bytes_ += answer_.bytes.size();
    hub_.post_answer(*who->request.shard, std::move(answer_), std::move(who->request.done));
}

}  // namespace boardbus::hub

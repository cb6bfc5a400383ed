// SPDX-License-Identifier: Apache-2.0
#include "hub/resumes.h"

#include <algorithm>
#include <utility>

#include "board/activity.h"
#include "hub/hub.h"
#include "hub/resume_waiter.h"

namespace boardbus::hub {
namespace {

using board::ActivityView;
using board::Cursor;
using Kind = ResumePoint::Kind;

constexpr std::size_t kPageEvents = 257;  // 256 and the cursor's own.
constexpr std::size_t kScanPage = 1'000;
constexpr std::size_t kTailPage = 16;  // To find a board's last event: more only when that many are on their way.

// What is encoded in one turn of the bus loop: 4 MiB cost about 2 ms, which live events have to wait.
constexpr std::size_t kBytesPerTurn = 4 << 20;

// An attempt every 250 ms, for 10 s. While the bus is not live nothing is shown to anybody, so there is nothing to miss: who meets an
// error then waits until it is.
constexpr std::chrono::milliseconds kRetryDelay{250};
constexpr int kTriesMax = 40;
// Who has no cursor needs the history only to know where it begins; its events are not kept waiting longer than a second.
constexpr int kTriesMaxNow = 4;

}  // namespace

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
    who->placeless =
        who->request.point.kind == Kind::next_slice ? who->request.point.placeless : hub_.ring().placeless();
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
    std::vector<Who> waiting;
    for (Who& who : parked_) {
        if (waits_on(who)) {
            waiting.push_back(std::move(who));
        } else {
            due_.push_back(std::move(who));
        }
    }
    parked_ = std::move(waiting);
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
            who->reply.reset();  // Who waits holds no page: other loops need them.
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
        reply && reply->generation == hub_.ring().generation() && who->asked_in == reply->generation) {
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
        // A stream has begun long ago for its client, who could not know of what has happened since.
        who->resyncs = who->resyncs || (!who->is_websocket() && ring.last() > 0);
    }
    if (!who->of_one_board()) {
        const Cursor here{{ring.epoch(), who->began_at, 0}, ring.hash_at(who->began_at)};
        std::string cursor = ring.epoch().empty() ? std::string() : board::encode_cursor(here);
        if (who->began_at == ring.last()) {
            join_now(std::move(who), {}, std::move(cursor));
            return;
        }
        // Shown since it asked, while it waited for a repair: it comes to that as if it had brought its place.
        who->cursor = std::move(cursor);
        who->request.point = {.kind = Kind::next_slice, .after = here, .generation = ring.generation()};
        follow_cursor(std::move(who));
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
    // No event with that seq is kept: nobody will take the hash, which is that of the place, for its.
    Cursor cursor{{ring.epoch(), who->began_at, seq}, ring.hash_at(who->began_at)};
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
    who->shown_seq = seq;
    who->cursor = std::move(cursor);
    join(std::move(who));
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
    join(std::move(who));
}

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
        question.kind = who->of_one_board() ? HistoryQuestion::Kind::board_after : HistoryQuestion::Kind::all_after;
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
    who->asked_in = hub_.ring().generation();
    hub_.reads().ask(question, [this, who = std::move(who)](const SharedReply& reply) mutable {
        who->reply = reply;
        due_.push_back(std::move(who));
        plan_work();
    });
}

void Resumes::retry(Who who) {
    if (!hub_.is_live()) {
        parked_.push_back(std::move(who));
        return;
    }
    ++who->tries;
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
    if (one) {
        behind.position.seq = to;
    } else {
        behind.position.pos = to;
        behind.event_hash = hub_.ring().hash_at(to);
    }
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
    slice.next = {
        .kind = Kind::next_slice, .after = next, .generation = hub_.ring().generation(), .placeless = who->placeless};
    answer(std::move(who), std::move(slice));
}

void Resumes::join(Who who) {
    std::string placeless;
    hub_.ring().each_placeless(who->placeless, [&](const ActivityView& event) {
        if (who->wants(event.board)) {
            hub_.append(placeless, who->request.form, event, who->is_websocket() ? 1 : 0);
        }
    });
    // First, so that what a stream ends with is the id of an event with a place, if there is one.
    who->bytes.insert(0, placeless);
    hub_.count_in(*who->request.shard, who->request.boards, who->request.form, who->shown_seq);
    answer(std::move(who), {.joined = true});
}

void Resumes::answer(Who who, ResumeAnswer reply) {
    reply.recovered = !who->gap && !who->resyncs && who->request.point.kind != Kind::now;
    reply.bytes = std::move(who->bytes);
    reply.epoch = hub_.ring().epoch();
    reply.seq = who->seq;
    reply.cursor = std::move(who->cursor);
    if (who->came_back && !reply.failed) {
        using telemetry::ResumeResult;
        hub_.metrics().resumed(who->resyncs ? ResumeResult::resync
                               : who->gap   ? ResumeResult::gap
                               : who->read  ? ResumeResult::history
                                            : ResumeResult::ring);
    }
    answered_bytes_ += reply.bytes.size();
    hub_.post_answer(*who->request.shard, std::move(reply), std::move(who->request.done));
}

}  // namespace boardbus::hub

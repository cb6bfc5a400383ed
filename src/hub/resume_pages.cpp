// What a page of the history means to a reader that waits for it: events, gaps, a place to go on, or a resync.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "hub/hub.h"
#include "hub/resume_waiter.h"
#include "hub/resumes.h"

namespace boardbus::hub {
namespace {

using board::ActivityView;
using board::Cursor;
using Kind = ResumePoint::Kind;

// The most events that one resume brings; what is older is a gap. Of a stream of several boards, which has to look at the
// events of all, the most that it looks at.
constexpr std::uint64_t kReplayEvents = 20'000;
constexpr std::uint64_t kScanEvents = 100'000;

}  // namespace

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
    // Of a board that the history knows nothing of: it may have had events behind the cursor.
    const bool forgotten = who->of_one_board() && page.last == 0 && page.forgotten > after.position.pos;
    if (after.position.epoch != page.epoch || page.last < who->number() || other || forgotten) {
        resync(std::move(who));
    } else if (after.position.pos > ring.last()) {
        // Another process was faster, and this one will come to it; unless the history was rolled back and ends before it.
        const bool reached =
            !who->of_one_board() || (!page.events.empty() && page.events.back().position->pos >= after.position.pos);
        if (reached) {
            wait_for(std::move(who), after.position.pos);
        } else {
            ask_for_end(std::move(who));
        }
    } else {
        take_events(std::move(who), reply);
    }
}

/// Finds out whether the history reaches to the cursor: the page of its board has nothing from there on.
void Resumes::ask_for_end(Who who) {
    const std::uint64_t pos = who->request.point.after.position.pos;
    if (!hub_.reads().has_room()) {
        retry(std::move(who));
        return;
    }
    const HistoryQuestion question{.kind = HistoryQuestion::Kind::all_after, .board = {}, .from = pos - 1, .limit = 1};
    hub_.reads().ask(question, [this, who = std::move(who), pos](const SharedReply& reply) mutable {
        const ActivityRing& ring = hub_.ring();
        if (!reply->page) {
            retry(std::move(who));
            return;
        }
        const bool same = reply->generation == ring.generation() && reply->page->epoch == ring.epoch();
        if (same && reply->page->last >= pos && pos > ring.last()) {
            wait_for(std::move(who), pos);
            return;
        }
        if (same && reply->page->last < pos) {
            who->request.point.kind = Kind::unreadable;
        }
        due_.push_back(std::move(who));
        plan_work();
    });
}

// A board without a number begins with that of its place. To a reader whose cursor is from before (seq 0) nothing is missing
// then, however large the number. An event with seq = pos is the first of its board, unless the one before it, which would
// have seq - 1 = pos - 1, belongs to the board too; or unless the board may have had events behind the cursor that are forgotten.

bool Resumes::is_first(const Waiter& waiter, const ActivityView& event) {
    const board::Position& place = *event.position;
    return waiter.of_one_board() && waiter.number() == 0 &&
           (waiter.begins_at == place.pos || waiter.request.point.after.position.pos + 1 == place.pos);
}

/// Goes on when it is known whether the first event of the page is the first of the board. The page is read again then: whoever
/// kept it while he waits for another one would keep a place that this one may need.
bool Resumes::ask_before_first(Who& who, const board::HistoryPage& page) {
    if (!who->of_one_board() || who->number() != 0 || page.events.empty() || who->looked) {
        return false;
    }
    const board::Position place = *page.events.front().position;
    if (place.seq != place.pos || is_first(*who, page.events.front()) || !hub_.reads().has_room()) {
        return false;
    }
    const HistoryQuestion question{
        .kind = HistoryQuestion::Kind::all_after, .board = {}, .from = place.pos - 2, .limit = 1};
    hub_.reads().ask(question, [this, who = std::move(who), place](const SharedReply& reply) mutable {
        if (!reply->page) {
            retry(std::move(who));
            return;
        }
        who->looked = true;
        const bool known = !reply->page->events.empty() && reply->page->events.front().position->pos + 1 == place.pos;
        if (known && reply->page->events.front().board != who->board() &&
            reply->page->forgotten <= who->request.point.after.position.pos) {
            who->begins_at = place.pos;
        }
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
    if (ask_before_first(who, page)) {
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
                who->shown_seq = at.seq;
                join(std::move(who));  // It, and what follows, is about to be shown.
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
        who->shown_seq = at.seq;
        serve_ring(std::move(who), std::min(pos, ring.last()));
    } else if (!who->bytes.empty()) {
        const Cursor after = who->request.point.after;  // Before `who` moves: arguments have no order.
        next_slice(std::move(who), after);
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

}  // namespace boardbus::hub

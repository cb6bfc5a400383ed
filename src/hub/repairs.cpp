// SPDX-License-Identifier: Apache-2.0
#include "hub/repairs.h"

#include <algorithm>
#include <utility>

#include "hub/hub.h"

namespace boardbus::hub {
namespace {

using Break = board::HistoryBreak::Kind;

constexpr std::size_t kAskedMax = 64;  // Boards at once; HistoryReads lets 16 of their pages in.
constexpr std::size_t kPageEvents = 256;

// What waits during a repair. When it is more, the boards that are not repaired are cut.
constexpr std::size_t kWaitingEvents = 16'384;
constexpr std::size_t kWaitingBytes = std::size_t{16} << 20U;

// Ten seconds for all boards: then those that are left are cut, because the others must not wait for them.
constexpr std::chrono::seconds kDeadline{10};
constexpr std::chrono::milliseconds kRetryDelay{250};

}  // namespace

Repairs::Repairs(Hub& hub)
    : hub_(hub), deadline_(hub.loop(), [this] { cut_the_rest(); }), retry_timer_(hub.loop(), [this] { ask_on(); }) {}

void Repairs::begin(Break kind, std::uint64_t seen, std::vector<Board> boards) {
    // Of a repair that is not finished, readers may stand at its beginning still, and events were not shown: the history has them.
    seen_ = active_ ? std::min(seen_, seen) : seen;
    kind_ = active_ && kind_ == Break::replaced ? Break::replaced : kind;
    ++run_;
    active_ = true;
    boards_ = std::move(boards);
    asked_.clear();
    drop_waiting();
    retry_timer_.stop();
    deadline_.start(kDeadline);
    if (kind_ == Break::replaced) {
        tell_resync({}, place(0));
    } else if (hub_.ring().last() > seen) {
        tell_gap({}, seen + 1, hub_.ring().last(), hub_.ring().last());
    }
    ask_on();
}

/// Those without a place are in no history.
void Repairs::drop_waiting() {
    std::erase_if(waiting_, [](const board::ActivityView& event) { return event.position.has_value(); });
    waiting_bytes_ = 0;
    for (const board::ActivityView& event : waiting_) {
        waiting_bytes_ += event.json.size();
    }
}

void Repairs::keep(std::vector<board::ActivityView> activities) {
    for (board::ActivityView& activity : activities) {
        waiting_bytes_ += activity.json.size();
        waiting_.push_back(std::move(activity));
    }
    if (waiting_.size() > kWaitingEvents || waiting_bytes_ > kWaitingBytes) {
        cut_the_rest();
    }
}

void Repairs::ask_on() {
    while (!boards_.empty() && asked_.size() < kAskedMax && hub_.reads().has_room() && !retry_timer_.running()) {
        Board board = std::move(boards_.back());
        boards_.pop_back();
        if (kind_ == Break::replaced && hub_.ring().last() == 0) {
            tell_resync(board.name, place(0));  // A history begins: nobody has a past.
            continue;
        }
        const bool by_seq = kind_ == Break::trimmed && board.seq > 0 && !board.anew;
        const HistoryQuestion question{
            .kind = by_seq ? HistoryQuestion::Kind::board_after : HistoryQuestion::Kind::board_before,
            .board = board.name,
            .from = by_seq ? board.seq : board.before,
            .limit = kPageEvents};
        asked_.push_back(board);
        hub_.reads().ask(question, [this, run = run_, board = std::move(board)](const SharedReply& reply) mutable {
            if (run == run_ && active_) {
                on_reply(std::move(board), reply);
            }
        });
    }
    if (!boards_.empty() && asked_.empty() && !retry_timer_.running()) {
        retry_timer_.start(kRetryDelay);
    }
    finish_if_done();
}

void Repairs::on_reply(Board board, const SharedReply& reply) {
    std::erase_if(asked_, [&](const Board& one) { return one.name == board.name; });
    if (!reply->page || reply->generation != hub_.ring().generation() || reply->page->epoch != hub_.ring().epoch()) {
        boards_.push_back(std::move(board));  // Until the deadline.
        if (!retry_timer_.running()) {
            retry_timer_.start(kRetryDelay);
        }
        return;
    }
    Progress progress = Progress::done;
    if (kind_ == Break::replaced || board.anew) {
        progress = resync(board, *reply->page);
    } else if (board.seq > 0) {
        progress = fill(board, *reply->page);
    } else {
        progress = fill_from_end(board, *reply->page);
    }
    if (progress == Progress::later && !retry_timer_.running()) {
        retry_timer_.start(kRetryDelay);
    }
    if (progress != Progress::done) {
        boards_.push_back(std::move(board));
    }
    if (!retry_timer_.running()) {
        ask_on();
    }
}

/// The number of the board's last event before those that follow the break, when `next` is the oldest that the history has of
/// those. A short history may have lost some that wait here, or are still on their way: nothing, then.
std::optional<std::uint64_t> Repairs::last_before(const std::string& board, const board::Position& next) const {
    const auto waits = std::ranges::find_if(
        waiting_, [&](const board::ActivityView& event) { return event.position && event.board == board; });
    if (waits != waiting_.end()) {
        return std::min(waits->position->seq, next.seq) - 1;
    }
    std::uint64_t seen = hub_.ring().last();
    for (const board::ActivityView& event : waiting_) {
        seen = event.position ? event.position->pos : seen;
    }
    return next.pos > seen + 1 ? std::nullopt : std::optional(next.seq - 1);
}

/// Tells the last number before the events that follow.
Repairs::Progress Repairs::resync(Board& board, const board::HistoryPage& page) {
    const auto last = std::find_if(page.events.rbegin(), page.events.rend(), [&](const board::ActivityView& event) {
        return event.position->pos <= hub_.ring().last();
    });
    if (last != page.events.rend()) {
        tell_resync(board.name, {*last->position, board::event_hash(last->id)});
        return Progress::done;
    }
    if (!page.events.empty() && page.events.front().position->seq > page.first) {
        board.before = page.events.front().position->seq;
        return Progress::more;
    }
    // Of what is not kept, the last number given out may be that of an event that waits here.
    const board::Position gone{.epoch = {}, .pos = 0, .seq = std::min(page.last, board.before - 1) + 1};
    const auto seq = last_before(board.name, page.events.empty() ? gone : *page.events.front().position);
    if (!seq) {
        return Progress::later;
    }
    tell_resync(board.name, place(*seq));
    return Progress::done;
}

/// Shows the events behind board.seq. A board that the history has forgotten may have had some: then its readers begin anew.
Repairs::Progress Repairs::fill(Board& board, const board::HistoryPage& page) {
    if (page.last < board.seq && page.forgotten > seen_) {
        board.anew = true;
        return resync(board, page);
    }
    std::vector<board::ActivityView> shown;
    for (const board::ActivityView& event : page.events) {
        const board::Position& place = *event.position;
        const bool follows = place.pos > hub_.ring().last();  // It waits to be shown, and so does what comes after it.
        if (place.seq > board.seq + 1) {
            const auto last = follows ? last_before(board.name, place) : std::optional(place.seq - 1);
            if (!last) {
                return Progress::later;
            }
            if (*last > board.seq) {
                tell_gap(board.name, board.seq + 1, *last, std::min(place.pos - 1, hub_.ring().last()));
            }
        }
        if (follows) {
            hub_.show_repaired(std::move(shown));
            return Progress::done;
        }
        board.seq = place.seq;
        shown.push_back(event);
    }
    hub_.show_repaired(std::move(shown));
    if (page.events.empty() && page.last > board.seq) {
        tell_gap(board.name, board.seq + 1, page.last, hub_.ring().last());
        return Progress::done;
    }
    return page.events.empty() || board.seq >= page.last ? Progress::done : Progress::more;
}

/// The same for a board whose readers have seen no event yet: those behind the position where they joined. When it cannot be
/// proved that these are all, they are told to begin anew.
Repairs::Progress Repairs::fill_from_end(Board& board, const board::HistoryPage& page) {
    std::vector<board::ActivityView> shown;
    bool proved = page.last == 0 && page.forgotten <= seen_;
    for (const board::ActivityView& event : page.events) {
        const std::uint64_t pos = event.position->pos;
        proved = proved || pos <= seen_ + 1 || event.position->seq == 1;
        if (pos > seen_ && pos <= hub_.ring().last()) {
            shown.push_back(event);
        }
    }
    if (proved) {
        hub_.show_repaired(std::move(shown));
        return Progress::done;
    }
    board.anew = true;
    return resync(board, page);
}

/// `pos` is that of the last event before the one that follows the gap.
void Repairs::tell_gap(const std::string& board, std::uint64_t from, std::uint64_t to, std::uint64_t pos) {
    const std::uint64_t seq = board.empty() ? 0 : to;
    hub_.tell({.kind = Notice::Kind::gap,
               .board = board,
               .from = from,
               .to = to,
               .cursor = board::encode_cursor({{hub_.ring().epoch(), pos, seq}, 0})});
}

/// `last` is what comes before the events that follow.
void Repairs::tell_resync(const std::string& board, const board::Cursor& last) {
    const std::string& epoch = hub_.ring().epoch();
    hub_.tell({.kind = Notice::Kind::resync,
               .board = board,
               .epoch = epoch,
               .to = board.empty() ? last.position.pos : last.position.seq,
               .cursor = epoch.empty() ? std::string() : board::encode_cursor(last)});
}

/// The place of the process, of whose event nothing is known; `seq` is a board's last there.
board::Cursor Repairs::place(std::uint64_t seq) const {
    return {{hub_.ring().epoch(), hub_.ring().last(), seq}, 0};
}

void Repairs::cut_the_rest() {
    for (const std::vector<Board>* boards : {&boards_, &asked_}) {
        for (const Board& board : *boards) {
            hub_.tell({.kind = Notice::Kind::cut, .board = board.name});
        }
    }
    boards_.clear();
    asked_.clear();
    finish_if_done();
}

void Repairs::finish_if_done() {
    if (!active_ || !boards_.empty() || !asked_.empty()) {
        return;
    }
    active_ = false;
    deadline_.stop();
    retry_timer_.stop();
    waiting_bytes_ = 0;
    hub_.end_repair(std::exchange(waiting_, {}));
}

}  // namespace boardbus::hub

// SPDX-License-Identifier: Apache-2.0
#include "transport/activity_follower.h"

#include <utility>

namespace boardbus::transport {

using board::ActivityView;
using board::HistoryBreak;
using board::HistoryPage;
using Ask = ActivityFollower::Ask;

Ask ActivityFollower::on_subscribed() {
    forget_waiting();
    return state_ == State::live ? repair() : ask_again();
}

Ask ActivityFollower::ask_again() {
    if (state_ == State::unknown) {
        return Ask::tail;
    }
    // A page that was to continue another one may by now be of another history.
    return reading_ == Reading::go_on ? read(Reading::verify, pos_ == 0 ? 0 : pos_ - 1) : read(reading_, page_after_);
}

Ask ActivityFollower::repair() {
    ++counts_.repairs;
    return read(Reading::verify, pos_ == 0 ? 0 : pos_ - 1);
}

Ask ActivityFollower::read(Reading reading, std::uint64_t after) {
    state_ = State::reading;
    reading_ = reading;
    page_after_ = after;
    asked_after_ = waiting_.size();
    return Ask::page;
}

Ask ActivityFollower::on_messages(std::vector<ActivityView> messages) {
    Ask ask = Ask::nothing;
    for (ActivityView& message : messages) {
        if (!message.position) {
            out_.push_back(std::move(message));
        } else if (state_ != State::live) {
            wait(std::move(message));
        } else if (!take(message)) {
            wait(std::move(message));
            ask = repair();
        }
    }
    hand_out();
    return ask;
}

/// Shows or drops a message that needs no repair.
bool ActivityFollower::take(ActivityView& message) {
    const board::Position& position = *message.position;
    if (epoch_.empty() && position.pos == 1) {
        epoch_ = position.epoch;  // There was no history, and here it begins.
    }
    if (position.epoch != epoch_) {
        counts_.foreign += position.epoch == foreign_epoch_ ? 1 : 0;
        return position.epoch == foreign_epoch_;
    }
    if (position.pos == pos_ + 1) {
        show(std::move(message));
        return true;
    }
    const std::string_view shown = shown_.at(position.pos);
    return position.pos <= pos_ && (shown.empty() || shown == message.id);
}

void ActivityFollower::wait(ActivityView message) {
    waiting_bytes_ += message.json.size();
    waiting_.push_back(std::move(message));
    if (waiting_bytes_ > kWaitingBytesMax) {
        forget_waiting();
    }
}

void ActivityFollower::forget_waiting() {
    waiting_.clear();
    waiting_bytes_ = 0;
    asked_after_ = 0;
}

Ask ActivityFollower::on_tail(const HistoryTail& tail) {
    epoch_ = tail.epoch;
    pos_ = epoch_.empty() ? 0 : tail.pos;  // A log without an epoch is one that the next commit throws away.
    if (pos_ > 0 && !tail.event_id.empty()) {
        shown_.add(tail.pos, tail.event_id);
    }
    sink_.on_begin(epoch_, pos_);
    return drain();
}

ActivityFollower::Look ActivityFollower::look_at(const HistoryTail& tail, std::uint64_t pos_asked) const {
    if (tail.epoch.empty()) {
        // Redis has lost the history, and nothing has happened since. The next event will tell.
        return {};
    }
    const std::string_view shown = shown_.at(tail.pos);
    const bool other_event = !shown.empty() && !tail.event_id.empty() && shown != tail.event_id;
    return {.other_history = tail.epoch != epoch_ || tail.pos < pos_asked || other_event, .newest = tail.pos};
}

Ask ActivityFollower::on_page(HistoryPage page) {
    if (page.epoch.empty()) {
        return drain();
    }
    if (page.epoch == foreign_epoch_) {
        foreign_epoch_.clear();
    }
    if (page.epoch != epoch_) {
        const bool first = epoch_.empty();
        epoch_ = std::move(page.epoch);
        pos_ = 0;
        shown_.forget_places();
        return read(first ? Reading::go_on : Reading::anew, 0);
    }
    switch (reading_) {
        case Reading::verify:
            return verify(page);
        case Reading::compare:
            return compare(page);
        case Reading::anew:
            break_off(HistoryBreak::Kind::replaced,
                      page.events.empty() ? page.last : page.events.front().position->pos - 1);
            return follow(page, 0);
        case Reading::go_on:
            return follow(page, 0);
    }
    return Ask::nothing;
}

/// The page begins where the last event shown should stand.
Ask ActivityFollower::verify(HistoryPage& page) {
    if (pos_ == 0) {
        return follow(page, 0);
    }
    const std::string_view shown = shown_.at(pos_);
    const bool there = !page.events.empty() && page.events.front().position->pos == pos_;
    const bool another = there && !shown.empty() && page.events.front().id != shown;
    if (another || page.last < pos_) {
        const std::uint64_t oldest = shown_.oldest_place();
        return read(Reading::compare, oldest == 0 ? pos_ - 1 : oldest - 1);
    }
    return follow(page, there ? 1 : 0);
}

/// Looks for the first event that is not the one that was shown at its place.
Ask ActivityFollower::compare(HistoryPage& page) {
    std::size_t same = 0;
    while (same < page.events.size() && shown_.at(page.events[same].position->pos) == page.events[same].id) {
        ++same;
    }
    if (same == page.events.size() && same > 0 && page.events.back().position->pos < page.last) {
        return read(Reading::compare, page.events.back().position->pos);
    }
    break_off(HistoryBreak::Kind::replaced,
              same == page.events.size() ? page.last : page.events[same].position->pos - 1);
    return follow(page, same);
}

/// Shows the events of the page that come after the last one shown, `from` on.
Ask ActivityFollower::follow(HistoryPage& page, std::size_t from) {
    if (from < page.events.size() && page.events[from].position->pos > pos_ + 1) {
        break_off(HistoryBreak::Kind::trimmed, page.events[from].position->pos - 1);
    } else if (page.events.empty() && page.last > pos_) {
        break_off(HistoryBreak::Kind::trimmed, page.last);
    }
    for (; from < page.events.size(); ++from) {
        ActivityView& event = page.events[from];
        if (event.position->pos != pos_ + 1) {
            // An entry is missing in the middle of the log: somebody has deleted it.
            break_off(HistoryBreak::Kind::trimmed, event.position->pos - 1);
        }
        ++counts_.repaired;
        show(std::move(event));
    }
    hand_out();
    return pos_ < page.last ? read(Reading::go_on, pos_) : drain();
}

/// The log has been read to its end: what has waited continues it, or there is more to read.
Ask ActivityFollower::drain() {
    state_ = State::live;
    while (!waiting_.empty()) {
        ActivityView& message = waiting_.front();
        const std::size_t size = message.json.size();
        const std::string epoch = message.position->epoch;
        if (!take(message)) {
            if (asked_after_ == 0) {
                // It came after the question: the log has gone on since.
                hand_out();
                return read(Reading::verify, pos_ == 0 ? 0 : pos_ - 1);
            }
            // The log, asked later, does not know it: it is of a history that Redis has lost, or of another database.
            foreign_epoch_ = epoch == epoch_ ? foreign_epoch_ : epoch;
            ++counts_.foreign;
        }
        waiting_bytes_ -= size;
        asked_after_ -= asked_after_ > 0 ? 1 : 0;
        waiting_.pop_front();
    }
    hand_out();
    return Ask::nothing;
}

void ActivityFollower::show(ActivityView event) {
    pos_ = event.position->pos;
    shown_.add(pos_, event.id);
    out_.push_back(std::move(event));
}

void ActivityFollower::hand_out() {
    if (!out_.empty()) {
        sink_.on_activities(std::exchange(out_, {}));
    }
}

void ActivityFollower::break_off(HistoryBreak::Kind kind, std::uint64_t last_pos) {
    hand_out();
    pos_ = last_pos;
    shown_.forget_places();
    ++(kind == HistoryBreak::Kind::replaced ? counts_.replaced : counts_.trimmed);
    sink_.on_break({.kind = kind, .epoch = epoch_, .last_pos = last_pos});
}

}  // namespace boardbus::transport

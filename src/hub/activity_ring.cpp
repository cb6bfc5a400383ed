// SPDX-License-Identifier: Apache-2.0
#include "hub/activity_ring.h"

#include <cassert>
#include <utility>

namespace boardbus::hub {
namespace {

// What an event costs beside its texts: its place in the deque and its share of the index.
constexpr std::size_t kKeptCost = 192;

// A question to the history takes milliseconds: that many of another program's events may pass while a reader asks. One that asks
// for longer misses the older ones, as it would have if it had come later.
constexpr std::size_t kPlacelessEvents = 256;
constexpr std::size_t kPlacelessBytes = 1 << 20;

std::size_t cost(const KeptEvent& event) {
    return event.json.size() + event.action.size() + kKeptCost;
}

}  // namespace

void ActivityRing::begin(std::string epoch, std::uint64_t pos) {
    epoch_ = std::move(epoch);
    events_.clear();
    boards_.clear();
    bytes_ = 0;
    before_ = pos;
    before_hash_ = 0;
    begun_ = true;
    ++generation_;
}

void ActivityRing::push(board::ActivityView&& activity) {
    if (!activity.position) {
        push_placeless(std::move(activity));
        return;
    }
    assert(begun_ && activity.position->pos == last() + 1);
    const std::uint64_t pos = activity.position->pos;
    const auto [board, fresh] = boards_.try_emplace(activity.board, Chain{pos, pos});
    if (!fresh) {
        events_[board->second.last - before_ - 1].next_of_board = pos;
        board->second.last = pos;
    }
    events_.push_back({.pos = pos,
                       .seq = activity.position->seq,
                       .next_of_board = 0,
                       .board = &board->first,
                       .hash = board::event_hash(activity.id),
                       .count_at = static_cast<std::uint32_t>(activity.count_at),
                       .count_length = static_cast<std::uint32_t>(activity.count_length),
                       .json = std::move(activity.json),
                       .action = std::move(activity.action)});
    bytes_ += cost(events_.back());
    while (events_.size() > bounds_.events || bytes_ > bounds_.bytes) {
        drop_oldest();
    }
}

void ActivityRing::push_placeless(board::ActivityView&& activity) {
    placeless_bytes_ += activity.json.size();
    placeless_.push_back(std::move(activity));
    while (placeless_.size() > kPlacelessEvents || (placeless_bytes_ > kPlacelessBytes && placeless_.size() > 1)) {
        placeless_bytes_ -= placeless_.front().json.size();
        placeless_.pop_front();
        ++placeless_gone_;
    }
}

void ActivityRing::drop_oldest() {
    const KeptEvent& oldest = events_.front();
    const auto board = boards_.find(*oldest.board);
    board->second.first = oldest.next_of_board;
    if (oldest.next_of_board == 0) {
        boards_.erase(board);
    }
    bytes_ -= cost(oldest);
    before_ = oldest.pos;
    before_hash_ = oldest.hash;
    events_.pop_front();
}

const KeptEvent* ActivityRing::at(std::uint64_t pos) const {
    return pos > before_ && pos <= last() ? &events_[pos - before_ - 1] : nullptr;
}

std::uint32_t ActivityRing::hash_at(std::uint64_t pos) const {
    if (pos == before_) {
        return before_hash_;
    }
    const KeptEvent* event = at(pos);
    return event != nullptr ? event->hash : 0;
}

const KeptEvent* ActivityRing::last_of(std::string_view board) const {
    const auto found = boards_.find(board);
    return found == boards_.end() ? nullptr : at(found->second.last);
}

const KeptEvent* ActivityRing::next_of(std::string_view board, std::uint64_t pos) const {
    if (const KeptEvent* event = at(pos); event != nullptr && *event->board == board) {
        return at(event->next_of_board);
    }
    const auto found = boards_.find(board);
    if (found == boards_.end() || found->second.last <= pos) {
        return nullptr;
    }
    const KeptEvent* event = at(found->second.first);
    while (event->pos <= pos) {
        event = at(event->next_of_board);
    }
    return event;
}

}  // namespace boardbus::hub

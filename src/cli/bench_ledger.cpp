// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_ledger.h"

#include <algorithm>

namespace boardbus::cli {
namespace {

// 64 holes × 16 B = 1 KiB for a subscriber and publisher at worst.
constexpr std::size_t kHolesMax = 64;

}  // namespace

BenchArrivals::Arrival BenchArrivals::arrive(std::uint64_t sequence) {
    if (sequence >= next_) {
        keep(holes_.end(), {next_, sequence});
        next_ = sequence + 1;
        return Arrival::in_order;
    }
    const auto hole = std::ranges::find_if(
        holes_, [sequence](const Hole& each) { return sequence >= each.first && sequence < each.second; });
    if (hole == holes_.end()) {
        return Arrival::doubled;
    }
    // What is left of it: one piece before the event, one behind, either perhaps empty.
    const auto [from, to] = *hole;
    const auto after = holes_.erase(hole);
    keep(after, {sequence + 1, to});
    const auto before = std::ranges::lower_bound(holes_, Hole{from, 0});
    keep(before, {from, sequence});
    return Arrival::late;
}

void BenchArrivals::keep(std::vector<Hole>::iterator place, Hole hole) {
    if (hole.first == hole.second) {
        return;
    }
    holes_.insert(place, hole);
    if (holes_.size() > kHolesMax) {
        given_up_ += holes_.front().second - holes_.front().first;
        holes_.erase(holes_.begin());
    }
}

std::uint64_t BenchArrivals::missing(std::uint64_t published) const {
    std::uint64_t missing = given_up_ + (published > next_ ? published - next_ : 0);
    for (const auto& [from, to] : holes_) {
        missing += to - from;
    }
    return missing;
}

BenchLedger::BenchLedger(BenchCrowd crowd, BenchSpan span)
    : crowd_(crowd), span_(span), publishers_(crowd.publishers), readers_(crowd.boards), arrivals_(crowd.subscribers) {
    for (std::size_t subscriber = 0; subscriber < crowd.subscribers; ++subscriber) {
        const std::size_t board = board_of(subscriber);
        ++readers_[board];
        // Publishers of a board: those p below publishers with p mod boards == board.
        arrivals_[subscriber].resize((crowd.publishers - board + crowd.boards - 1) / crowd.boards);
    }
}

BenchStamp BenchLedger::publish(std::size_t publisher, Instant due) {
    ++published_;
    owed_ += static_cast<std::int64_t>(readers_[board_of(publisher)]);
    return {publisher, publishers_[publisher].published++, due - span_.begin};
}

void BenchLedger::refuse(std::size_t publisher) {
    ++refused_;
    ++publishers_[publisher].refused;
    owed_ -= static_cast<std::int64_t>(readers_[board_of(publisher)]);
}

void BenchLedger::arrive(std::size_t subscriber, const BenchStamp& stamp, Instant now) {
    const bool ours = stamp.publisher < crowd_.publishers && board_of(stamp.publisher) == board_of(subscriber) &&
                      !arrivals_[subscriber].empty() && stamp.sequence < publishers_[stamp.publisher].published &&
                      span_.begin + stamp.due <= now;
    if (!ours) {
        ++strange_;
        return;
    }
    const auto arrival = arrivals_[subscriber][place_of(stamp.publisher)].arrive(stamp.sequence);
    if (arrival == BenchArrivals::Arrival::doubled) {
        ++doubled_;
        return;
    }
    late_ += arrival == BenchArrivals::Arrival::late ? 1 : 0;
    ++delivered_;
    ++publishers_[stamp.publisher].delivered;
    --owed_;
    if (now >= span_.measured && now < span_.end) {
        ++deliveries_measured_;
        events_measured_ += 1 / static_cast<double>(readers_[board_of(subscriber)]);
    }
    const Instant due = span_.begin + stamp.due;
    if (due >= span_.measured && due < span_.end) {
        latency_.add(now - due);
    }
}

void BenchLedger::forget(std::size_t subscriber) {
    for (std::size_t place = 0; place < arrivals_[subscriber].size(); ++place) {
        owed_ -= static_cast<std::int64_t>(missing(subscriber, place));
    }
    arrivals_[subscriber].clear();
    --readers_[board_of(subscriber)];
}

std::uint64_t BenchLedger::in_flight(std::size_t publisher) const {
    const Publisher& each = publishers_[publisher];
    const std::uint64_t done = each.refused + each.delivered / std::max<std::size_t>(1, readers_[board_of(publisher)]);
    return each.published - std::min(each.published, done);
}

std::uint64_t BenchLedger::missing(std::size_t subscriber, std::size_t place) const {
    const Publisher& publisher = publishers_[board_of(subscriber) + place * crowd_.boards];
    const std::uint64_t missing = arrivals_[subscriber][place].missing(publisher.published);
    return missing - std::min(missing, publisher.refused);
}

std::uint64_t BenchLedger::lost() const {
    std::uint64_t lost = 0;
    for (std::size_t subscriber = 0; subscriber < arrivals_.size(); ++subscriber) {
        for (std::size_t place = 0; place < arrivals_[subscriber].size(); ++place) {
            lost += missing(subscriber, place);
        }
    }
    return lost;
}

}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "bench/fanout_ledger.h"

#include <array>
#include <cstdio>

namespace boardbus::bench {

std::uint64_t FanoutLedger::publish(std::size_t board, Instant due) {
    Board& place = boards_[board];
    const std::uint64_t number = place.events.size();
    place.events.push_back({.due = due,
                            .waiting = static_cast<std::uint32_t>(place.readers),
                            .measured = measuring_,
                            .in_storm = storming_});
    expected_ += place.readers;
    ++published_;
    measured_.published += measuring_ ? 1 : 0;
    return number;
}

void FanoutLedger::arrive(Seat& seat, std::uint64_t number, std::size_t bytes, Instant now) {
    std::vector<Event>& events = boards_[seat.board].events;
    if (number >= events.size()) {
        ++foreign_;
        return;
    }
    if (number < seat.next && !seat.fresh) {
        ++repeated_;
        return;
    }
    if (number > seat.next) {
        skipped_ += number - seat.next;
    }
    seat.next = number + 1;
    seat.fresh = false;
    ++arrived_;
    Event& event = events[number];
    if (measuring_) {
        ++measured_.deliveries;
        measured_.event_bytes += bytes;
    }
    if (event.measured) {
        measured_.latency.add(now - event.due);
    }
    if (event.in_storm) {
        storm_.add(now - event.due);
    }
    if (--event.waiting == 0 && event.measured) {
        measured_.last_reader.add(now - event.due);
    }
}

void FanoutLedger::sit_down(Seat& seat) const {
    seat.next = boards_[seat.board].events.size();
    seat.fresh = true;
}

std::uint64_t FanoutLedger::missing(const Seat& seat) const {
    return boards_[seat.board].events.size() - seat.next;
}

std::string quantiles_json(const Histogram& histogram) {
    std::array<char, 256> text{};
    std::snprintf(text.data(), text.size(),
                  R"({"samples":%llu,"p50":%.1f,"p90":%.1f,"p99":%.1f,"p99_9":%.1f,"max":%.1f})",
                  0ULL + histogram.count(), histogram.quantile_us(0.5), histogram.quantile_us(0.9),
                  histogram.quantile_us(0.99), histogram.quantile_us(0.999), histogram.max_us());
    return text.data();
}

}  // namespace boardbus::bench

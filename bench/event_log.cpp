// SPDX-License-Identifier: Apache-2.0
#include "bench/event_log.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>

namespace boardbus::bench {
namespace {

// 20 million times 8 B are 160 MB; and the marks of all readers together stay below 512 MB.
constexpr std::size_t kEventsMax = 20'000'000;
constexpr std::size_t kMarksMax = std::size_t{4} << 30;

constexpr std::string_view kMark = R"("n":")";
constexpr std::size_t kDigits = 10;

}  // namespace

EventLog::EventLog(std::size_t readers, std::size_t boards, Span span)
    : span_(span),
      boards_(boards),
      events_max_(std::min(kEventsMax, kMarksMax / std::max<std::size_t>(readers, 1) * boards)),
      readers_of_(boards),
      seen_(readers) {
    for (std::size_t reader = 0; reader < readers; ++reader) {
        ++readers_of_[reader % boards];
    }
}

std::uint64_t EventLog::publish(Instant due) {
    const std::uint64_t number = due_.size();
    due_.push_back(due);
    expected_ += readers_of_[number % boards_];
    return number;
}

bool EventLog::arrive(std::size_t reader, std::uint64_t number, Instant now) {
    if (number >= due_.size() || number % boards_ != reader % boards_) {
        return false;
    }
    std::vector<bool>& seen = seen_[reader];
    const auto place = static_cast<std::size_t>(number / boards_);
    if (place >= seen.size()) {
        seen.resize(place + 1);
    }
    if (seen[place]) {
        ++duplicates_;
        return false;
    }
    seen[place] = true;
    ++arrived_;
    if (now >= span_.measured && now < span_.end) {
        ++arrived_measured_;
    }
    const Instant due = due_[static_cast<std::size_t>(number)];
    if (due >= span_.measured && due < span_.end) {
        latency_.add(now - due);
    }
    return true;
}

std::string EventLog::json(std::uint64_t refused) const {
    const std::chrono::duration<double> seconds = span_.end - span_.measured;
    // An event counts once, however many read it.
    const double readers_of_an_event = std::max(1.0, static_cast<double>(seen_.size()) / static_cast<double>(boards_));
    const double deliveries_per_s = static_cast<double>(arrived_measured_) / seconds.count();
    std::array<char, 512> line{};
    std::snprintf(line.data(), line.size(),
                  R"({"events_per_s":%.1f,"deliveries_per_s":%.1f,"published":%llu,"delivered":%llu,"missing":%llu,)"
                  R"("duplicates":%llu,"refused":%llu,"latency_us":{"samples":%llu,"p50":%.1f,"p90":%.1f,"p99":%.1f,)"
                  R"("p99_9":%.1f,"max":%.1f}})",
                  deliveries_per_s / readers_of_an_event, deliveries_per_s, 0ULL + published(), 0ULL + arrived_,
                  0ULL + missing(), 0ULL + duplicates_, 0ULL + refused, 0ULL + latency_.count(),
                  latency_.quantile_us(0.5), latency_.quantile_us(0.9), latency_.quantile_us(0.99),
                  latency_.quantile_us(0.999), latency_.max_us());
    return line.data();
}

std::string numbered_object(std::size_t bytes) {
    std::string text = R"({"n":"0000000000"})";
    if (bytes > text.size() + 9) {
        const std::string pad(bytes - text.size() - 9, 'x');
        text.insert(text.size() - 1, R"(,"pad":")" + pad + '"');
    }
    return text;
}

void set_number(std::string& text, std::uint64_t number) {
    char* digits = text.data() + text.find(kMark) + kMark.size();
    for (std::size_t i = kDigits; i > 0; --i) {
        digits[i - 1] = static_cast<char>('0' + number % 10);
        number /= 10;
    }
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    const auto mark = text.find(kMark);
    if (mark == std::string_view::npos || text.size() < mark + kMark.size() + kDigits) {
        return std::nullopt;
    }
    const char* digits = text.data() + mark + kMark.size();
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits, digits + kDigits, number);
    return error == std::errc() && end == digits + kDigits ? std::optional(number) : std::nullopt;
}

}  // namespace boardbus::bench

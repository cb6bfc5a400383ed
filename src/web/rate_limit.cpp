// See rate_limit.h.
// SPDX-License-Identifier: Apache-2.0
#include "web/rate_limit.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace boardbus::web {
namespace {

constexpr std::int64_t kCountMax = 1'000'000'000;        // One a nanosecond within a second: the bucket's resolution.
constexpr std::chrono::seconds kPeriodMax{366 * 86400};  // Far below what nanoseconds in 64 bits hold (292 years).

constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
    {"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}, {"month", 30 * 86400}, {"year", 360 * 86400},
};

/// Reads a rate limit's parts one after the other; white space between them does not count.
class Scanner {
  public:
    explicit Scanner(std::string_view text) {
        for (const char c : text) {
            rest_.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
        }
        skip_space();
    }

    bool at_end() const { return at_ == rest_.size(); }

    bool take(std::string_view word) {
        if (!std::string_view(rest_).substr(at_).starts_with(word)) {
            return false;
        }
        at_ += word.size();
        skip_space();
        return true;
    }

    std::optional<std::int64_t> number() {
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(rest_.data() + at_, rest_.data() + rest_.size(), value);
        if (error != std::errc() || value < 1 || value > kCountMax) {
            return std::nullopt;
        }
        at_ = static_cast<std::size_t>(end - rest_.data());
        skip_space();
        return value;
    }

    bool at_digit() const { return !at_end() && std::isdigit(static_cast<unsigned char>(rest_[at_])); }

  private:
    void skip_space() {
        while (!at_end() && std::isspace(static_cast<unsigned char>(rest_[at_]))) {
            ++at_;
        }
    }

    std::string rest_;
    std::size_t at_ = 0;
};

std::optional<std::int64_t> seconds_of_unit(Scanner& scanner) {
    for (const auto& [name, seconds] : kUnits) {
        if (scanner.take(name)) {
            scanner.take("s");
            return seconds;
        }
    }
    return std::nullopt;
}

std::optional<RateLimit> scan(Scanner& scanner) {
    const auto count = scanner.number();
    if (!count || (!scanner.take("/") && !scanner.take("per"))) {
        return std::nullopt;
    }
    const auto times = scanner.at_digit() ? scanner.number() : std::optional<std::int64_t>(1);
    const auto unit = seconds_of_unit(scanner);
    if (!times || !unit || !scanner.at_end() || *times > kPeriodMax.count() / *unit) {
        return std::nullopt;
    }
    return RateLimit{*count, std::chrono::seconds(*times * *unit)};
}

std::chrono::nanoseconds interval_of(const RateLimit& limit) {
    return std::chrono::nanoseconds(limit.period) / limit.count;
}

}  // namespace

Result<std::optional<RateLimit>> parse_rate_limit(std::string_view text) {
    Scanner scanner(text);
    if (scanner.at_end()) {
        return std::optional<RateLimit>();
    }
    if (const auto limit = scan(scanner)) {
        return limit;
    }
    return fail(Errc::invalid,
                "'" + std::string(text) +
                    "' is not a rate limit; allowed: blank (off) or a count from 1 to 1000000000 and a period up to "
                    "366 days, as 120/minute, 10/second, 10 per 5 minutes");
}

void MemoryRateLimits::hit(std::string_view scope, std::string_view client, RateLimit limit, Loop& loop,
                           Decided decided) {
    decided(count(scope, client, limit, loop.now()));
}

RateDecision MemoryRateLimits::count(std::string_view scope, std::string_view client, RateLimit limit, Instant now) {
    std::string key(scope);
    key.append(1, ' ').append(client);

    const std::lock_guard lock(mutex_);
    Window& window = open_window(std::move(key), limit, now);
    window.count = std::min(window.count + 1, kCountMax + 1);
    return {.allowed = window.count <= limit.count,
            .limit = limit.count,
            .remaining = std::max<std::int64_t>(0, limit.count - window.count),
            .resets_in = window.ends - now};
}

std::size_t MemoryRateLimits::size() const {
    const std::lock_guard lock(mutex_);
    return windows_.size();
}

MemoryRateLimits::Window& MemoryRateLimits::open_window(std::string key, RateLimit limit, Instant now) {
    // A few at a time: a request never pays for 100,000 windows that ended together.
    for (int swept = 0; swept < 16 && !by_end_.empty() && by_end_.begin()->first <= now; ++swept) {
        drop_first();
    }
    const auto known = windows_.find(key);
    if (known != windows_.end()) {
        Window& window = known->second;
        if (window.ends <= now) {
            by_end_.erase({window.ends, &known->first});
            window = {.count = 0, .ends = now + limit.period};
            by_end_.emplace(window.ends, &known->first);
        }
        return window;
    }
    while (windows_.size() >= entries_max_ && !by_end_.empty()) {
        drop_first();
    }
    const auto added = windows_.emplace(std::move(key), Window{.count = 0, .ends = now + limit.period}).first;
    by_end_.emplace(added->second.ends, &added->first);
    return added->second;
}

void MemoryRateLimits::drop_first() {
    const auto first = by_end_.begin();
    // The set's pointer is into the node that goes, so the set goes first.
    const std::string* key = first->second;
    by_end_.erase(first);
    windows_.erase(windows_.find(*key));
}

bool TokenBucket::take(const RateLimit& limit, Instant now) {
    if (wait(limit, now) > std::chrono::nanoseconds::zero()) {
        return false;
    }
    full_at_ = std::max(full_at_, now) + interval_of(limit);
    return true;
}

std::chrono::nanoseconds TokenBucket::wait(const RateLimit& limit, Instant now) const {
    // One token is there when at most the whole bucket less one is missing.
    const auto missing = full_at_ - now;
    const auto most_missing = limit.period - interval_of(limit);
    return std::max(std::chrono::nanoseconds::zero(), missing - most_missing);
}

}  // namespace boardbus::web

// How much one client may ask for.
//
// HTTP requests are counted in fixed windows, each beginning with its first request and not stretched by later ones
// (what slowapi does). Messages on a socket pass a token bucket. Time is an argument everywhere.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/loop.h"
#include "base/result.h"

namespace boardbus::web {

/// So many in each period.
struct RateLimit {
    std::int64_t count = 0;
    std::chrono::seconds period{};

    bool operator==(const RateLimit&) const = default;
};

/// Reads `120/minute`, `10/second`, `5 per minute`, `10 per 5 minutes`, `1000/day`; a blank text is no limit.
/// Errors: invalid, with what is allowed.
Result<std::optional<RateLimit>> parse_rate_limit(std::string_view text);

struct RateDecision {
    bool allowed = true;
    std::int64_t limit = 0;
    std::int64_t remaining = 0;
    std::chrono::nanoseconds resets_in{};  ///< Until the window ends.
};

/// The counters of one process or, in Redis, of several.
class RateLimitStore {
  public:
    using Decided = std::move_only_function<void(RateDecision)>;

    /// Counts one request of `client` in the window called `scope` ("default", "stream") and tells whether it is within
    /// `limit`. `decided` is called exactly once, at once or later, on `loop`, which is the caller's; a session that may
    /// die before makes it harmless itself. A store that cannot be reached allows. Thread: that of `loop`.
    virtual void hit(std::string_view scope, std::string_view client, RateLimit limit, Loop& loop, Decided decided) = 0;

  protected:
    ~RateLimitStore() = default;
};

/// Counters in this process. Answers at once.
/// Bound: `entries_max` windows, 100,000 × about 200 B = 20 MB. When full, the window that ends first gives way
/// (expired ones before all), so a flood of new addresses costs early forgiveness, never memory.
class MemoryRateLimits final : public RateLimitStore {
  public:
    explicit MemoryRateLimits(std::size_t entries_max = 100'000) : entries_max_(entries_max) {}

    void hit(std::string_view scope, std::string_view client, RateLimit limit, Loop& loop, Decided decided) override;

    /// The same without the callback. Thread: any.
    RateDecision count(std::string_view scope, std::string_view client, RateLimit limit, Instant now);

    std::size_t size() const;

  private:
    struct Window {
        std::int64_t count = 0;
        Instant ends;
    };
    using Windows = std::unordered_map<std::string, Window>;

    Window& open_window(std::string key, RateLimit limit, Instant now);
    void drop_first();

    const std::size_t entries_max_;  // Constant after construction.

    // Any thread, under the mutex.
    mutable std::mutex mutex_;
    Windows windows_;
    std::set<std::pair<Instant, const std::string*>> by_end_;  // Keys point into windows_, whose nodes do not move.
};

/// The messages of one socket: `limit.count` at once, then as fast as the period gives them back. Eight bytes, because
/// there is one for each of 100,000 sockets; hence the limit is an argument.
class TokenBucket {
  public:
    /// Takes one token if there is one. Thread: the owner's.
    bool take(const RateLimit& limit, Instant now);

    /// Until the next token; zero when there is one.
    std::chrono::nanoseconds wait(const RateLimit& limit, Instant now) const;

  private:
    Instant full_at_;  // When the bucket will be full again ("theoretical arrival time" of the cell rate algorithm).
};

}  // namespace boardbus::web

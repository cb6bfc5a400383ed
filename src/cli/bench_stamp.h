// The mark inside each event that `boardbus bench` sends: whose it is, which one, and when it was due.
//
// The mark travels in the payload, which the bus carries token for token, so nothing has to be remembered about an event that is on its
// way and a run may be as long as it likes. Times count from the run's beginning. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace boardbus::cli {

struct BenchStamp {
    std::uint64_t publisher = 0;     ///< Below 2^16.
    std::uint64_t sequence = 0;      ///< Of this publisher, from 0; below 2^40.
    std::chrono::nanoseconds due{};  ///< After the run's beginning; below 2^52 ns, which is 52 days.

    bool operator==(const BenchStamp&) const = default;
};

/// The smallest payload that can carry a mark.
inline constexpr std::size_t kBenchPayloadMin = 47;
inline constexpr std::size_t kBenchPublishersMax = 1U << 16;

class BenchStamper {
  public:
    /// `run` tells this run's events from those of another that uses the same boards.
    explicit BenchStamper(std::uint32_t run);

    /// A BoardMessage whose payload has exactly `payload_bytes` (at least kBenchPayloadMin), with a place for a stamp.
    std::string message(std::size_t payload_bytes) const;

    /// Writes `stamp` into a text that message() has made.
    void put(std::string& message, const BenchStamp& stamp) const;

    /// The stamp of this run in an event, wherever it stands; nothing in anybody else's text.
    std::optional<BenchStamp> find(std::string_view text) const;

  private:
    std::string mark_;  // "bench":"RUN
};

}  // namespace boardbus::cli

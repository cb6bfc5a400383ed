// What one loop counts for itself: the numbers that change with every frame.
//
// Each loop has its own LoopCounters and is the only one that writes them; a scrape reads all of them and adds up. One writer needs no
// locked instruction: add() is a load and a store, 0.3 ns, where a shared atomic counter costs a cache line's journey per frame.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace boardbus::telemetry {

/// A number that one thread changes and any thread reads.
class LoopNumber {
  public:
    /// Thread: the owner's only.
    void add(std::uint64_t n = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void subtract(std::uint64_t n = 1) {
        value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
    }
    void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }

    /// Thread: any.
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_ = 0;
};

/// Durations of one loop, in buckets that are the same for all loops.
class LoopHistogram {
  public:
    /// Upper bounds in microseconds; one more bucket, +Inf, follows.
    static constexpr std::array<std::int64_t, 14> kBounds = {
        50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000, 5'000'000};

    /// Counts one duration; below zero (clocks of two machines) counts as zero. Thread: the owner's only.
    void observe(std::chrono::nanoseconds duration) {
        const auto us =
            std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
        const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), us);
        buckets_[static_cast<std::size_t>(bound - kBounds.begin())].add();
        sum_us_.add(static_cast<std::uint64_t>(us));
    }

    /// Thread: any.
    std::uint64_t bucket(std::size_t index) const { return buckets_[index].get(); }
    std::uint64_t sum_us() const { return sum_us_.get(); }

  private:
    std::array<LoopNumber, kBounds.size() + 1> buckets_;
    LoopNumber sum_us_;
};

/// What one kind of reader (WebSocket or SSE) did on one loop.
struct ReaderCounters {
    LoopNumber connections;          ///< Gauge: open now.
    LoopNumber opened;               ///< Accepted since the start.
    LoopNumber deliveries;           ///< Events handed to readers: one event to 1,000 readers counts 1,000.
    LoopNumber frames_sent;          ///< WebSocket frames of any kind; SSE events and heartbeats.
    LoopNumber bytes_sent;           ///< As written to the socket, framing included, TLS not.
    LoopNumber backlog_bytes;        ///< Gauge: waiting for readers now.
    LoopNumber slow_readers_closed;  ///< Closed because the backlog was full.
};

/// All that one loop counts. On cache lines of its own, so that loops do not disturb one another.
struct alignas(64) LoopCounters {
    ReaderCounters websocket;
    ReaderCounters sse;
    LoopNumber frames_received;    ///< WebSocket frames from clients.
    LoopNumber bytes_received;     ///< On WebSockets, framing included.
    LoopNumber messages_received;  ///< Complete text messages.
    LoopNumber messages_invalid;   ///< Answered with an error frame: invalid_json, validation_error.
    LoopNumber messages_limited;   ///< Refused by WEBSOCKET_MESSAGE_RATE_LIMIT.
    LoopNumber pings_unanswered;   ///< Sockets dropped because no pong came.
    LoopNumber gaps;               ///< Breaks that readers were told of while connected: gap, resync, close 1012.
    LoopHistogram fan_out;  ///< From the event's arrival in this process to its frames being written to the sockets.
};

}  // namespace boardbus::telemetry

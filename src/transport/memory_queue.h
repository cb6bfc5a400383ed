// The broker of the one-process mode: a main queue, delayed retries and a dead letter queue, forgotten at exit.
//
// It keeps the promises that RabbitMQ keeps for the other mode, as far as one process can: bounded, ordered, at most `prefetch`
// deliveries out, a retry comes back after its delay and not before, dead letters are logged and kept. What is published in a turn is
// handed out at the end of the same turn. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>

#include "base/loop.h"
#include "board/ports.h"
#include "telemetry/metrics.h"

namespace boardbus::transport {

struct MemoryQueueOptions {
    std::size_t bytes_max =
        16
        << 20;  ///< Bodies waiting or unsettled, retries included; beyond it publishing is "overloaded", except one alone.
    std::size_t prefetch = 256;
    std::size_t dead_letters_max = 1000;  ///< The oldest is forgotten first; each had its ERROR line.
};

class MemoryQueue final : public board::Publisher, public board::DeliverySource, private TurnEnd {
  public:
    MemoryQueue(Loop& loop, telemetry::Metrics& metrics, MemoryQueueOptions options);
    MemoryQueue(const MemoryQueue&) = delete;
    MemoryQueue& operator=(const MemoryQueue&) = delete;
    ~MemoryQueue();

    void publish(board::Publication publication, board::PublishDone done) override;

    void start(board::DeliverySink& sink) override;
    void release() override;
    void settle(std::uint64_t tag, board::Verdict verdict) override;

    /// Nothing waits, is out or is to be retried.
    bool idle() const { return waiting_.empty() && unsettled_.empty() && delayed_.empty(); }

    std::size_t dead_letters() const { return dead_letters_.size(); }

  private:
    void on_turn_end() override;
    void retry_due();
    void keep_dead(board::Delivery delivery, const board::Verdict& verdict);

    // Constant after construction.
    Loop& loop_;
    telemetry::Metrics& metrics_;
    const MemoryQueueOptions options_;

    // Loop only.
    board::DeliverySink* sink_ = nullptr;
    std::deque<board::Delivery> waiting_;                 // Bounded by bytes_max, as the next two.
    std::map<std::uint64_t, board::Delivery> unsettled_;  // At most prefetch.
    std::multimap<Instant, board::Delivery> delayed_;
    std::deque<board::Delivery> dead_letters_;
    std::size_t bytes_ = 0;
    std::uint64_t next_tag_ = 1;
    Timer retry_timer_;
};

}  // namespace boardbus::transport

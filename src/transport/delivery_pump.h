// The heart of the worker: takes deliveries, commits them in order, says what becomes of each.
//
// The same pump runs between RabbitMQ and Redis and inside one process; only its source and its bus differ. Whatever has arrived while a
// batch was under way is the next batch, so that one round trip to the bus carries as much as there is and never waits for more.
// While the bus is away the deliveries stay in hand, unsettled and in order (the hold); nothing is charged to them.
// A delivery that was handed out before is handled alone and counted first: it may be what killed its last worker (the crash-loop guard).
// The next such one is begun only when the dead letter of one that did is safe: dying of it now would leave that dead letter once more.
// Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "board/ports.h"
#include "board/processor.h"
#include "telemetry/metrics.h"

namespace boardbus::transport {

enum class OnOutage {
    pause,   ///< Hold the deliveries until the bus is back.
    charge,  ///< Treat the outage as each message's own failure: retry, then dead letter.
};

struct DeliveryPumpOptions {
    board::RetryPolicy retry;
    OnOutage on_outage = OnOutage::pause;
    std::chrono::milliseconds hold_initial{250};
    std::chrono::milliseconds hold_most{5000};
    /// A hold this long gives the deliveries back, before the broker's consumer timeout (30 min) would cut the channel.
    std::chrono::minutes hold_release{20};
    /// Commits in one round trip; the prefetch bounds what is in hand. They are one transaction, which keeps Redis 28 µs each, and the brokers
    /// take turns instead of working at once when it takes the whole prefetch (quorum, saturated: 17,800 events/s with 256, 19,800 with 64).
    std::size_t batch_max = 64;
    /// Bodies in one round trip, beyond the first. Redis publishes a batch in one breath: whatever it writes for a subscriber must stay
    /// far below its own limit (client-output-buffer-limit pubsub, 32 MiB), or it throws the app out and the events are lost to it.
    std::size_t batch_bytes_max = std::size_t{4} << 20;
    std::int64_t crashes_max = 3;
};

class DeliveryPump final : public board::DeliverySink {
  public:
    DeliveryPump(Loop& loop, board::ActivityBus& bus, board::DeliverySource& source, telemetry::Metrics& metrics,
                 DeliveryPumpOptions options);
    DeliveryPump(const DeliveryPump&) = delete;
    DeliveryPump& operator=(const DeliveryPump&) = delete;

    /// Lets the source begin once the bus has taken a real write.
    void start();

    /// Begins nothing new; calls `done` when no commit is under way. What is in hand stays unsettled, so it returns to its queue.
    void stop(Task done);

    /// Gives what is in hand back to the queue and waits there again, behind whoever else waits.
    void give_back();

    /// True while deliveries wait for the bus.
    bool holding() const { return held_since_ != Instant{}; }

    void on_deliveries(std::vector<board::Delivery> deliveries) override;
    void on_copied(std::uint64_t tag) override;
    void on_source_reset() override;

  private:
    /// A delivery on its way through the bus.
    struct Pending {
        board::Delivery delivery;
        board::CommitRequest request;  ///< What names it; the bus has the rest.
    };

    /// What killed its workers, until its dead letter is safe and it is let go.
    struct Burial {
        std::uint64_t tag;
        std::string id;  ///< In the count of attempts.
    };

    void probe();
    void pump();
    bool next_step();
    void count_suspect();
    std::size_t next_batch() const;
    void commit_front(std::size_t count);
    void on_committed(std::vector<Pending> batch, const std::vector<board::CommitResult>& results, Instant begun);
    void settle(const board::Delivery& delivery, board::Verdict verdict);
    void release();
    void hold(const std::string& why);
    void end_hold();
    void show_in_hand();
    void step_done();

    // Constant after construction.
    Loop& loop_;
    board::ActivityBus& bus_;
    board::DeliverySource& source_;
    telemetry::Metrics& metrics_;
    const DeliveryPumpOptions options_;

    // Loop only.
    std::deque<board::Delivery> in_hand_;  // At most the source's prefetch.
    std::size_t shown_ = 0;                // Of in_hand_, in the gauge.
    bool under_way_ = false;               // A commit, a count or a probe has not answered yet.
    bool pumping_ = false;                 // pump() is on the stack; an answer that came at once must not nest.
    bool started_ = false;                 // The source hands out.
    bool head_counted_ = false;            // The suspect at the head has been counted and may be handled.
    std::uint64_t epoch_ = 0;              // Grows when the source resets: answers for older deliveries are void.
    Instant held_since_{};                 // Zero: not holding.
    std::optional<Burial> burying_;
    Backoff backoff_;
    Timer again_;
    bool stopping_ = false;
    Task stopped_;
};

}  // namespace boardbus::transport

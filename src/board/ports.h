// What the decisions need from the outside: four interfaces, each with two implementations (one process; RabbitMQ and Redis).
//
// Everything here happens on one thread, the bus loop, and is asynchronous: an operation takes a callback and calls it exactly once,
// later or at once, whatever happens, with one exception that each destructor states: what is destroyed calls nobody.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/trace_context.h"
#include "board/activity_ports.h"

namespace boardbus::board {

/// A sealed envelope on its way to the bus.
struct Publication {
    std::string event_id;  ///< UUID; the AMQP message_id.
    std::string board_id;
    std::string correlation_id;  ///< The client's or a new UUID; also the idempotency key.
    std::string body;            ///< The envelope as JSON.
    WallTime published_at;
    std::string traceparent;  ///< The sender's W3C trace context; empty: a new one begins at the publisher.
};

enum class PublishOutcome {
    accepted,  ///< The bus has it on disk or in a majority of its replicas (memory: in its queue).
    rejected,  ///< The bus does not have it and never will: full, returned, refused, not connected.
    unknown,   ///< No answer in time; sending it again with the same correlation_id is safe.
};

struct PublishResult {
    PublishOutcome outcome;
    std::string reason;  ///< For people; empty when accepted. Begins with "overloaded" when waiting helps.
};

using PublishDone = std::move_only_function<void(PublishResult)>;

/// Where sealed envelopes go. Bounded: beyond its window and queue it rejects at once with reason "overloaded".
class Publisher {
  public:
    virtual void publish(Publication publication, PublishDone done) = 0;

  protected:
    ~Publisher() = default;
};

/// One message as the queue handed it over.
struct Delivery {
    std::uint64_t tag = 0;              ///< Names it towards its source, in rising order.
    std::string body;                   ///< Whatever bytes the queue held.
    std::string message_id;             ///< The AMQP property; may be empty.
    std::int64_t retry_count = 0;       ///< x-retry-count: below 0 or no number counts as 0.
    bool redelivered = false;           ///< Handed out before, perhaps to a worker that died of it.
    std::optional<TraceContext> trace;  ///< Of who published it; none: not said, or nobody traces here.
};

/// What is to become of a delivery.
struct Verdict {
    enum class Kind { ack, retry, dead_letter };
    Kind kind = Kind::ack;
    int attempts = 1;                   ///< Deliveries so far, this one included.
    std::chrono::milliseconds delay{};  ///< retry: the wait, jitter included.
    std::string reason;                 ///< dead_letter: invalid_payload, retries_exhausted, crash_loop.
    std::string error;                  ///< retry, dead_letter: what went wrong (last_error).
    std::string event_id;               ///< For the log line; the message_id when the body did not say.
    std::string board_id;
};

/// Who takes deliveries. Implemented by the delivery pump.
class DeliverySink {
  public:
    virtual void on_deliveries(std::vector<Delivery> deliveries) = 0;

    /// The copy of the delivery `tag` is where its verdict wanted it, and the original is let go. May be called within settle().
    virtual void on_copied(std::uint64_t tag) = 0;

    /// All deliveries that were handed over and are not settled are void: the source lost its connection or gave them back.
    virtual void on_source_reset() = 0;

  protected:
    ~DeliverySink() = default;
};

/// The main queue: hands out at most `prefetch` unsettled deliveries and does what the verdicts say.
class DeliverySource {
  public:
    /// Begins or resumes to hand out deliveries.
    virtual void start(DeliverySink& sink) = 0;

    /// Stops handing out and gives everything unsettled back to the queue, in order. Ends with on_source_reset().
    virtual void release() = 0;

    /// Carries out the verdict for the delivery `tag`: the retry or dead-letter copy is confirmed before the original is acked.
    /// A tag from before a reset is ignored.
    virtual void settle(std::uint64_t tag, Verdict verdict) = 0;

  protected:
    ~DeliverySource() = default;
};

/// One event to be deduplicated and published in one atomic step.
struct CommitRequest {
    std::string idempotency_key;
    std::string fingerprint;  ///< Hash of board, action, user, payload and message: 16 hex digits or more.
    std::string event_id;
    std::string board_id;
    std::string action;
    std::string activity;  ///< The ActivityEvent as JSON, active_connections 0.
    WallTime published_at;
};

struct CommitResult {
    enum class Status {
        fresh,        ///< Published now.
        duplicate,    ///< This (key, fingerprint) had been published before.
        conflict,     ///< The key belongs to another event; published under its own fingerprint.
        failed,       ///< This message cannot be committed; others can.
        unavailable,  ///< Nobody's fault: the bus is away, loading, read-only, full. Not known to be published.
    };
    Status status = Status::unavailable;
    std::string detail;  ///< Why not; duplicate: what the bus noted when it published the event.
};

/// The step that makes an event happen: dedupe and publish, atomically.
class ActivityBus {
  public:
    using CommitDone = std::move_only_function<void(std::vector<CommitResult>)>;

    /// Commits the batch in order; one result for each request, in the same order.
    virtual void commit(std::vector<CommitRequest> batch, CommitDone done) = 0;

    /// Does a harmless real write, to learn whether a commit could succeed.
    virtual void probe(std::move_only_function<void(Result<void>)> done) = 0;

    /// Notes that this worker has begun the message `id` after a redelivery, and tells how many have. To ask again, as after an answer
    /// that was lost, counts nothing more: a worker that is alive has not died of it. The count lives an hour.
    virtual void count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) = 0;

    /// Forgets that count: a worker got through this message alive, or it has been buried.
    virtual void forget_attempts(const std::string& id) = 0;

    /// Forgets this worker's part of that count: the message goes back to its queue, and this worker has not died of it. For both: while
    /// the bus is away this part is kept in mind, and goes when the bus is back.
    virtual void take_back_attempt(const std::string& id) = 0;

  protected:
    ~ActivityBus() = default;
};

}  // namespace boardbus::board

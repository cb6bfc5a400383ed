// The numbers that /metrics shows.
//
// One object for the process. The methods here are for what happens per request, per message or more rarely and may be called from any
// thread; what happens per frame goes through LoopCounters. Labels come from closed sets only: enums, literals of our own code and
// queue names of the configuration; never a board, user, address or path that a client chose.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "telemetry/loop_counters.h"

namespace boardbus::telemetry {

/// A label that is a literal in our own code, which the compiler checks; `"/ws/boards/{board_id}"` converts by itself.
class LabelText {
  public:
    consteval LabelText(const char* literal) : text_(literal) {}
    std::string_view text() const { return text_; }

  private:
    std::string_view text_;
};

enum class PublishStatus { accepted, rejected, unknown };
enum class WorkerOutcome { fanned_out, duplicate, conflict, retried, dead_lettered };
enum class Peer { rabbitmq, redis };

/// How far an event has come since its envelope was sealed (`published_at`).
enum class Stage {
    consumed,   ///< The worker has the delivery in hand.
    committed,  ///< The atomic Redis step has succeeded.
    received,   ///< An app has it from the channel.
};

/// What an app could not continue: see board::HistoryBreak.
enum class HistoryBreak { replaced, trimmed };

/// Why a WebSocket handshake was refused.
enum class Refusal { not_found, origin, token, limit };

/// Why a span never reached the collector.
enum class SpanLoss {
    full,         ///< Too many waited.
    unreachable,  ///< The collector did not answer, or asked for patience, at every try.
    refused,      ///< It answered that it does not want them.
};

/// How a reader that came back with a cursor could go on.
enum class ResumeResult {
    ring,     ///< From the process's memory.
    history,  ///< From the history.
    gap,      ///< Some events are gone.
    resync,   ///< The cursor belongs to another history, or is none.
};

class Metrics {
  public:
    using Duration = std::chrono::nanoseconds;

    Metrics();
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    /// The counters of one more loop; they live as long as this object. Bound: one per loop, made at start. Thread: any.
    LoopCounters& add_loop();

    /// Everything as Prometheus text, version 0.0.4. Cost: about 1 ms. Thread: any.
    std::string expose() const;

    // HTTP.
    /// `method` may be whatever the client wrote: unknown methods count as OTHER.
    void http_request(LabelText route, std::string_view method, unsigned status, Duration duration);
    void rate_limited(LabelText route, std::string_view method);
    void authentication_failed();
    void handshake_refused(Refusal why);

    // The publisher.
    void published(PublishStatus status, Duration duration);
    void confirms_in_flight(std::size_t count);
    void publish_queue_bytes(std::size_t bytes);
    void publisher_blocked(bool blocked);  ///< connection.blocked: RabbitMQ is out of memory or disk.

    // The worker.
    void worker_outcome(WorkerOutcome outcome, std::uint64_t count = 1);
    /// `reason`: invalid_payload, retries_exhausted, crash_loop, delivery_limit; anything else counts as other.
    void dead_letter(std::string_view reason);
    void deliveries_in_hand(std::ptrdiff_t change);
    void commit_batch(std::size_t events, Duration duration);
    /// A lane begins (or ends) to keep its deliveries because Redis is away.
    void hold(bool begins);

    // The pipeline.
    void latency(Stage stage, Duration since_published);
    /// The first connection is no reconnect: callers say connected(peer, true) each time and the second and later ones are counted.
    void connected(Peer peer, bool connected);
    void ready(bool ready);
    /// `queue` is a name of the configuration. Set once per queue at declaration. Bound: 64 names, more are not shown.
    void topology_mismatch(std::string_view queue, bool mismatch);
    void unreadable_event();  ///< Something on the channel was no ActivityEvent and went to nobody.
    void spans_exported(std::uint64_t count);
    void spans_lost(SpanLoss why, std::uint64_t count);
    void history_repairs(std::uint64_t count);  ///< Times the log was read because a message was missing or could be.
    void history_gap_filled(std::uint64_t events);  ///< Events fetched from the log.
    void history_breaks(HistoryBreak kind, std::uint64_t count);
    void resumed(ResumeResult result);

  private:
    struct Instruments;
    std::unique_ptr<Instruments> instruments_;
};

}  // namespace boardbus::telemetry

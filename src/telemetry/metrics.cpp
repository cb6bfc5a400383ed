// SPDX-License-Identifier: Apache-2.0
#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <sstream>
#include <tuple>
#include <utility>
#include <vector>

#include "telemetry/loop_families.h"
#include "telemetry/process_families.h"

namespace boardbus::telemetry {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

// From 0.25 ms, a page from memory, to 10 s, where every timeout of ours has ended.
const Histogram::BucketBoundaries kSeconds = {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,     0.25,   0.5,   1,      2.5,   5,    10};
// An event may wait for a broker that is away: up to an hour.
const Histogram::BucketBoundaries kLatencySeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,   0.5,   1,      5,     10,   60,    600,  3600};
const Histogram::BucketBoundaries kBatchEvents = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

constexpr std::array<const char*, 2> kStatuses = {"success", "error"};
constexpr std::array<const char*, 5> kOutcomes = {"fanned_out", "duplicate", "conflict", "retried", "dead_lettered"};
constexpr std::array<const char*, 2> kPeers = {"rabbitmq", "redis"};
constexpr std::array<const char*, 3> kStages = {"consumed", "committed", "received"};
constexpr std::array<const char*, 4> kRefusals = {"not_found", "origin", "token", "limit"};
constexpr std::array<const char*, 3> kSpanLosses = {"full", "unreachable", "refused"};
constexpr std::array<const char*, 2> kBreaks = {"replaced", "trimmed"};
constexpr std::array<const char*, 4> kResumes = {"ring", "history", "gap", "resync"};
constexpr std::array<const char*, 5> kReasons = {"invalid_payload", "retries_exhausted", "crash_loop", "delivery_limit",
                                                 "other"};
constexpr std::array<const char*, 10> kMethods = {"GET",    "HEAD",    "POST",  "PUT",     "PATCH",
                                                  "DELETE", "OPTIONS", "TRACE", "CONNECT", "OTHER"};
constexpr std::size_t kQueuesMost = 64;

/// The place of `text` in a list that ends with the name for everything else.
template <std::size_t N>
std::size_t index_or_last(const std::array<const char*, N>& names, std::string_view text) {
    const auto found = std::find(names.begin(), names.end() - 1, text);
    return static_cast<std::size_t>(found - names.begin());
}

double seconds(Metrics::Duration duration) {
    return std::max(0.0, std::chrono::duration<double>(duration).count());
}

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
Family<Histogram>& histograms(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

/// One instrument for each value of a label, made at start, so that all of them show 0 before anything happens.
template <typename T, std::size_t N, typename... Args>
std::array<T*, N> one_each(Family<T>& family, const char* label, const std::array<const char*, N>& values,
                           const Args&... args) {
    std::array<T*, N> made{};
    std::transform(values.begin(), values.end(), made.begin(),
                   [&](const char* value) { return &family.Add({{label, value}}, args...); });
    return made;
}

}  // namespace

struct Metrics::Instruments {
    struct HttpPair {
        Counter* requests = nullptr;
        Histogram* duration = nullptr;
    };

    HttpPair http(LabelText route, std::size_t method, unsigned status);
    Counter& rate_limited(LabelText route, std::size_t method);

    Registry registry;
    LoopFamilies loops;

    Family<Counter>& http_requests = counters(registry, "advanced_http_requests_total", "HTTP requests answered.");
    Family<Histogram>& http_duration =
        histograms(registry, "advanced_http_request_duration_seconds", "Time from a request's head to its answer.");
    Family<Counter>& limited =
        counters(registry, "advanced_http_rate_limit_rejections_total", "HTTP requests refused by a rate limit.");
    Counter& authentication_failures =
        counters(registry, "advanced_authentication_failures_total", "Requests and handshakes without the right token.")
            .Add({});
    std::array<Counter*, 4> refusals =
        one_each(counters(registry, "advanced_websocket_handshakes_refused_total", "WebSocket handshakes refused."),
                 "reason", kRefusals);

    std::array<Counter*, 2> published = one_each(
        counters(registry, "advanced_board_events_published_total", "Board events given to the bus, by result."),
        "status", kStatuses);
    std::array<Histogram*, 2> publish_duration = one_each(
        histograms(registry, "advanced_board_event_publish_duration_seconds", "Time from publish to the bus's answer."),
        "status", kStatuses, kSeconds);
    Counter& publish_unknown = counters(registry, "advanced_board_event_publish_timeouts_total",
                                        "Published events whose confirm did not come in time; counted as errors too.")
                                   .Add({});
    Gauge& in_flight =
        gauges(registry, "advanced_publish_confirms_in_flight", "Published events that wait for a confirm.").Add({});
    Gauge& queue_bytes =
        gauges(registry, "advanced_publish_queue_bytes", "Bytes that wait for a place in the window.").Add({});
    Gauge& blocked =
        gauges(registry, "advanced_publish_blocked", "1 while RabbitMQ blocks publishers (memory or disk alarm).")
            .Add({});

    std::array<Counter*, 5> outcomes = one_each(
        counters(registry, "advanced_worker_outcomes_total", "Deliveries settled, by outcome."), "outcome", kOutcomes);
    std::array<Counter*, 5> dead_letters =
        one_each(counters(registry, "advanced_dead_letters_total", "Messages that ended in the dead letter queue."),
                 "reason", kReasons);
    Gauge& in_hand =
        gauges(registry, "advanced_worker_deliveries_in_hand", "Deliveries that are not settled yet.").Add({});
    Histogram& commit_events =
        histograms(registry, "advanced_worker_commit_batch_events", "Events committed together.").Add({}, kBatchEvents);
    Histogram& commit_duration =
        histograms(registry, "advanced_worker_commit_duration_seconds", "Time of one atomic Redis step.")
            .Add({}, kSeconds);
    Gauge& holding =
        gauges(registry, "advanced_worker_holding", "Lanes whose deliveries the worker keeps because Redis is away.")
            .Add({});
    Counter& holds =
        counters(registry, "advanced_worker_holds_total", "Times the worker began to wait for Redis.").Add({});

    std::array<Histogram*, 3> latency =
        one_each(histograms(registry, "advanced_event_latency_seconds", "Age of an event when it reached a stage."),
                 "stage", kStages, kLatencySeconds);
    std::array<Gauge*, 2> connected =
        one_each(gauges(registry, "advanced_peer_connected", "1 while connected to the broker."), "peer", kPeers);
    std::array<Counter*, 2> reconnects = one_each(
        counters(registry, "advanced_peer_reconnects_total", "Connections after the first one."), "peer", kPeers);
    Gauge& ready = gauges(registry, "advanced_pipeline_ready", "1 while /readyz says ready.").Add({});
    Family<Gauge>& mismatches =
        gauges(registry, "advanced_topology_mismatch", "1 when a queue exists with other arguments than ours.");
    Counter& unreadable_events =
        counters(registry, "advanced_unreadable_events_total", "Messages on the activity channel that were no events.")
            .Add({});
    Counter& spans_exported =
        counters(registry, "advanced_trace_spans_exported_total", "Spans that the collector has taken.").Add({});
    std::array<Counter*, 3> spans_lost =
        one_each(counters(registry, "advanced_trace_spans_dropped_total", "Spans that never reached the collector."),
                 "reason", kSpanLosses);
    std::array<Counter*, 4> resumes = one_each(
        counters(registry, "advanced_resumes_total", "Readers that came back with a cursor, by how they could go on."),
        "result", kResumes);
    Counter& gap_events = counters(registry, "advanced_history_gap_filled_events_total",
                                   "Events fetched from the history after an outage.")
                              .Add({});

    Counter& repairs = counters(registry, "advanced_history_repairs_total",
                                "Times an app read the log because it missed an event or could have.")
                           .Add({});
    std::array<Counter*, 2> breaks =
        one_each(counters(registry, "advanced_history_breaks_total", "Times an app could not continue the history."),
                 "kind", kBreaks);

    // Any thread, under the mutex. Bounds: routes are literals and statuses our own, a few hundred at most; kQueuesMost queues.
    std::mutex mutex;
    std::map<std::tuple<std::string_view, std::size_t, unsigned>, HttpPair> http_pairs;
    std::map<std::pair<std::string_view, std::size_t>, Counter*> limited_counters;
    std::map<std::string, Gauge*, std::less<>> mismatch_gauges;
    std::array<bool, 2> was_connected{};
};

Metrics::Instruments::HttpPair Metrics::Instruments::http(LabelText route, std::size_t method, unsigned status) {
    const std::lock_guard lock(mutex);
    auto& pair = http_pairs[{route.text(), method, status}];
    if (pair.requests == nullptr) {
        const prometheus::Labels labels = {{"http_route", std::string(route.text())},
                                           {"http_method", kMethods[method]},
                                           {"http_status_code", std::to_string(status)}};
        pair = {&http_requests.Add(labels), &http_duration.Add(labels, kSeconds)};
    }
    return pair;
}

Counter& Metrics::Instruments::rate_limited(LabelText route, std::size_t method) {
    const std::lock_guard lock(mutex);
    auto& counter = limited_counters[{route.text(), method}];
    if (counter == nullptr) {
        counter = &limited.Add({{"http_route", std::string(route.text())}, {"http_method", kMethods[method]}});
    }
    return *counter;
}

Metrics::Metrics() : instruments_(std::make_unique<Instruments>()) {}
Metrics::~Metrics() = default;

LoopCounters& Metrics::add_loop() {
    return instruments_->loops.add_loop();
}

std::string Metrics::expose() const {
    auto families = instruments_->registry.Collect();
    std::erase_if(families, [](const auto& family) { return family.metric.empty(); });
    std::ranges::move(instruments_->loops.Collect(), std::back_inserter(families));
    std::ranges::move(process_families(), std::back_inserter(families));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
}

void Metrics::http_request(LabelText route, std::string_view method, unsigned status, Duration duration) {
    const auto pair = instruments_->http(route, index_or_last(kMethods, method), status);
    pair.requests->Increment();
    pair.duration->Observe(seconds(duration));
}

void Metrics::rate_limited(LabelText route, std::string_view method) {
    instruments_->rate_limited(route, index_or_last(kMethods, method)).Increment();
}

void Metrics::authentication_failed() {
    instruments_->authentication_failures.Increment();
}

void Metrics::handshake_refused(Refusal why) {
    instruments_->refusals[static_cast<std::size_t>(why)]->Increment();
}

void Metrics::published(PublishStatus status, Duration duration) {
    // Dashboards of the base protocol know success and error only; a missing confirm is an error there.
    const std::size_t index = status == PublishStatus::accepted ? 0 : 1;
    instruments_->published[index]->Increment();
    instruments_->publish_duration[index]->Observe(seconds(duration));
    if (status == PublishStatus::unknown) {
        instruments_->publish_unknown.Increment();
    }
}

void Metrics::confirms_in_flight(std::size_t count) {
    instruments_->in_flight.Set(static_cast<double>(count));
}
void Metrics::publish_queue_bytes(std::size_t bytes) {
    instruments_->queue_bytes.Set(static_cast<double>(bytes));
}
void Metrics::publisher_blocked(bool blocked) {
    instruments_->blocked.Set(blocked);
}

void Metrics::worker_outcome(WorkerOutcome outcome, std::uint64_t count) {
    instruments_->outcomes[static_cast<std::size_t>(outcome)]->Increment(static_cast<double>(count));
}

void Metrics::dead_letter(std::string_view reason) {
    instruments_->dead_letters[index_or_last(kReasons, reason)]->Increment();
}

void Metrics::deliveries_in_hand(std::ptrdiff_t change) {
    instruments_->in_hand.Increment(static_cast<double>(change));
}

void Metrics::commit_batch(std::size_t events, Duration duration) {
    instruments_->commit_events.Observe(static_cast<double>(events));
    instruments_->commit_duration.Observe(seconds(duration));
}

void Metrics::hold(bool begins) {
    if (begins) {
        instruments_->holds.Increment();
    }
    instruments_->holding.Increment(begins ? 1 : -1);
}

void Metrics::latency(Stage stage, Duration since_published) {
    instruments_->latency[static_cast<std::size_t>(stage)]->Observe(seconds(since_published));
}

void Metrics::connected(Peer peer, bool connected) {
    const auto index = static_cast<std::size_t>(peer);
    const std::lock_guard lock(instruments_->mutex);
    if (connected && std::exchange(instruments_->was_connected[index], true)) {
        instruments_->reconnects[index]->Increment();
    }
    instruments_->connected[index]->Set(connected);
}

void Metrics::ready(bool ready) {
    instruments_->ready.Set(ready);
}

void Metrics::topology_mismatch(std::string_view queue, bool mismatch) {
    const std::lock_guard lock(instruments_->mutex);
    auto& gauges = instruments_->mismatch_gauges;
    auto found = gauges.find(queue);
    if (found == gauges.end()) {
        if (gauges.size() == kQueuesMost) {
            return;
        }
        found = gauges.emplace(queue, &instruments_->mismatches.Add({{"queue", std::string(queue)}})).first;
    }
    found->second->Set(mismatch);
}

void Metrics::unreadable_event() {
    instruments_->unreadable_events.Increment();
}

void Metrics::spans_exported(std::uint64_t count) {
    instruments_->spans_exported.Increment(static_cast<double>(count));
}

void Metrics::spans_lost(SpanLoss why, std::uint64_t count) {
    instruments_->spans_lost[static_cast<std::size_t>(why)]->Increment(static_cast<double>(count));
}

void Metrics::history_repairs(std::uint64_t count) {
    instruments_->repairs.Increment(static_cast<double>(count));
}

void Metrics::history_breaks(HistoryBreak kind, std::uint64_t count) {
    instruments_->breaks[static_cast<std::size_t>(kind)]->Increment(static_cast<double>(count));
}

void Metrics::resumed(ResumeResult result) {
    instruments_->resumes[static_cast<std::size_t>(result)]->Increment();
}

void Metrics::history_gap_filled(std::uint64_t events) {
    instruments_->gap_events.Increment(static_cast<double>(events));
}

}  // namespace boardbus::telemetry

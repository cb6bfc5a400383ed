// SPDX-License-Identifier: Apache-2.0
#include "telemetry/loop_families.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

namespace boardbus::telemetry {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Loops = std::deque<LoopCounters>;

struct ReaderRow {
    const char* name;
    const char* help;
    MetricType type;
    LoopNumber ReaderCounters::* number;
};

constexpr ReaderRow kReaderRows[] = {
    {"advanced_connections", "Readers connected now.", MetricType::Gauge, &ReaderCounters::connections},
    {"advanced_connections_opened_total", "Readers accepted.", MetricType::Counter, &ReaderCounters::opened},
    {"advanced_deliveries_total", "Events handed to readers; one event to 1000 readers counts 1000.",
     MetricType::Counter, &ReaderCounters::deliveries},
    {"advanced_frames_sent_total", "WebSocket frames, or SSE events and heartbeats, sent.", MetricType::Counter,
     &ReaderCounters::frames_sent},
    {"advanced_sent_bytes_total", "Bytes written to readers, framing included.", MetricType::Counter,
     &ReaderCounters::bytes_sent},
    {"advanced_backlog_bytes", "Bytes that wait for slow readers now.", MetricType::Gauge,
     &ReaderCounters::backlog_bytes},
    {"advanced_slow_readers_closed_total", "Readers closed because their backlog was full.", MetricType::Counter,
     &ReaderCounters::slow_readers_closed},
};

struct LoopRow {
    const char* name;
    const char* help;
    LoopNumber LoopCounters::* number;
};

constexpr LoopRow kLoopRows[] = {
    {"advanced_websocket_frames_received_total", "WebSocket frames from clients.", &LoopCounters::frames_received},
    {"advanced_websocket_received_bytes_total", "Bytes from WebSocket clients, framing included.",
     &LoopCounters::bytes_received},
    {"advanced_websocket_messages_received_total", "Complete text messages from clients.",
     &LoopCounters::messages_received},
    {"advanced_websocket_messages_invalid_total", "Messages answered with invalid_json or validation_error.",
     &LoopCounters::messages_invalid},
    {"advanced_websocket_messages_limited_total", "Messages refused by the limit per socket.",
     &LoopCounters::messages_limited},
    {"advanced_websocket_pings_unanswered_total", "Sockets dropped because no pong came.",
     &LoopCounters::pings_unanswered},
    {"advanced_gaps_total", "Gaps, resyncs and closes with 1012, told to connected readers.", &LoopCounters::gaps},
};

void set_value(ClientMetric& metric, MetricType type, std::uint64_t value) {
    if (type == MetricType::Gauge) {
        metric.gauge.value = static_cast<double>(value);
    } else {
        metric.counter.value = static_cast<double>(value);
    }
}

ClientMetric reader_metric(const Loops& loops, const ReaderRow& row, const char* kind,
                           ReaderCounters LoopCounters::* readers) {
    std::uint64_t sum = 0;
    for (const auto& loop : loops) {
        sum += (loop.*readers.*row.number).get();
    }
    ClientMetric metric;
    metric.label = {{"kind", kind}};
    set_value(metric, row.type, sum);
    return metric;
}

MetricFamily loop_family(const Loops& loops, const LoopRow& row) {
    std::uint64_t sum = 0;
    for (const auto& loop : loops) {
        sum += (loop.*row.number).get();
    }
    ClientMetric metric;
    set_value(metric, MetricType::Counter, sum);
    return {row.name, row.help, MetricType::Counter, {std::move(metric)}};
}

MetricFamily fan_out_family(const Loops& loops) {
    ClientMetric metric;
    auto& histogram = metric.histogram;
    for (std::size_t i = 0; i <= LoopHistogram::kBounds.size(); ++i) {
        for (const auto& loop : loops) {
            histogram.sample_count += loop.fan_out.bucket(i);
        }
        const double bound = i < LoopHistogram::kBounds.size() ? static_cast<double>(LoopHistogram::kBounds[i]) / 1e6
                                                               : std::numeric_limits<double>::infinity();
        histogram.bucket.push_back({histogram.sample_count, bound});
    }
    for (const auto& loop : loops) {
        histogram.sample_sum += static_cast<double>(loop.fan_out.sum_us()) / 1e6;
    }
    return {"advanced_fan_out_duration_seconds",
            "Time from an event's arrival in the app to its frames being written.",
            MetricType::Histogram,
            {std::move(metric)}};
}

}  // namespace

LoopCounters& LoopFamilies::add_loop() {
    const std::lock_guard lock(mutex_);
    return loops_.emplace_back();
}

std::vector<MetricFamily> LoopFamilies::Collect() const {
    const std::lock_guard lock(mutex_);
    std::vector<MetricFamily> families;
    for (const auto& row : kReaderRows) {
        families.push_back({row.name,
                            row.help,
                            row.type,
                            {reader_metric(loops_, row, "websocket", &LoopCounters::websocket),
                             reader_metric(loops_, row, "sse", &LoopCounters::sse)}});
    }
    for (const auto& row : kLoopRows) {
        families.push_back(loop_family(loops_, row));
    }
    families.push_back(fan_out_family(loops_));
    return families;
}

}  // namespace boardbus::telemetry

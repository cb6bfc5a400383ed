// SPDX-License-Identifier: Apache-2.0
#include "transport/traced_source.h"

#include <string>
#include <utility>

namespace boardbus::transport {
namespace {

std::string word_of(board::Verdict::Kind kind) {
    switch (kind) {
        case board::Verdict::Kind::ack:
            return "ack";
        case board::Verdict::Kind::retry:
            return "retry";
        case board::Verdict::Kind::dead_letter:
            break;
    }
    return "dead_letter";
}

}  // namespace

TracedSource::TracedSource(board::DeliverySource& source, telemetry::SpanBuffer& spans, TracedBus bus)
    : source_(source), spans_(spans), bus_(std::move(bus)) {}

void TracedSource::start(board::DeliverySink& sink) {
    sink_ = &sink;
    source_.start(*this);
}

void TracedSource::release() {
    source_.release();
}

void TracedSource::on_deliveries(std::vector<board::Delivery> deliveries) {
    const WallTime now = wall_now();
    for (const board::Delivery& delivery : deliveries) {
        const TraceContext context = next_span(delivery.trace);
        if (context.sampled) {
            begun_.insert_or_assign(delivery.tag, Begun{context, delivery.trace ? delivery.trace->span_id : 0, now});
        }
    }
    sink_->on_deliveries(std::move(deliveries));
}

void TracedSource::on_source_reset() {
    begun_.clear();
    sink_->on_source_reset();
}

void TracedSource::settle(std::uint64_t tag, board::Verdict verdict) {
    if (const auto node = begun_.extract(tag)) {
        leave_span(node.mapped(), verdict);
    }
    source_.settle(tag, std::move(verdict));
}

void TracedSource::leave_span(const Begun& begun, const board::Verdict& verdict) {
    telemetry::Span span{.context = begun.context,
                         .parent_id = begun.parent_id,
                         .kind = telemetry::Span::Kind::consumer,
                         .name = "process",
                         .begun = begun.at,
                         .ended = wall_now(),
                         .attributes = {{"messaging.system", bus_.system},
                                        {"messaging.operation.type", "process"},
                                        {"messaging.destination.name", bus_.destination},
                                        {"messaging.message.id", verdict.event_id},
                                        {"boardbus.attempts", static_cast<std::int64_t>(verdict.attempts)},
                                        {"boardbus.verdict", word_of(verdict.kind)}},
                         .failure = {}};
    if (verdict.kind != board::Verdict::Kind::ack) {
        // The log line has the error's own words; they may quote what a client wrote.
        span.failure = verdict.reason.empty() ? word_of(verdict.kind) : verdict.reason;
        span.attributes.push_back({"error.type", span.failure});
    }
    spans_.push(span);
}

}  // namespace boardbus::transport

// SPDX-License-Identifier: Apache-2.0
#include "transport/traced_publisher.h"

#include <utility>

#include "base/clock.h"
#include "base/trace_context.h"

namespace boardbus::transport {
namespace {

std::string word_of(board::PublishOutcome outcome) {
    switch (outcome) {
        case board::PublishOutcome::accepted:
            return "accepted";
        case board::PublishOutcome::rejected:
            return "rejected";
        case board::PublishOutcome::unknown:
            break;
    }
    return "unknown";
}

}  // namespace

TracedPublisher::TracedPublisher(board::Publisher& publisher, telemetry::SpanBuffer& spans, TracedBus bus)
    : publisher_(publisher), spans_(spans), bus_(std::move(bus)) {}

void TracedPublisher::publish(board::Publication publication, board::PublishDone done) {
    const auto sender = parse_traceparent(publication.traceparent);
    const TraceContext context = next_span(sender);
    if (!context.sampled) {
        publisher_.publish(std::move(publication), std::move(done));
        return;
    }
    publication.traceparent = to_traceparent(context);
    telemetry::Span span{.context = context,
                         .parent_id = sender ? sender->span_id : 0,
                         .kind = telemetry::Span::Kind::producer,
                         .name = "publish",
                         .begun = publication.published_at,
                         .ended = {},
                         .attributes = {{"messaging.system", bus_.system},
                                        {"messaging.operation.type", "send"},
                                        {"messaging.destination.name", bus_.destination},
                                        {"messaging.message.id", publication.event_id},
                                        {"messaging.message.conversation_id", publication.correlation_id}},
                         .failure = {}};
    publisher_.publish(std::move(publication),
                       [this, span = std::move(span), done = std::move(done)](board::PublishResult result) mutable {
                           span.ended = wall_now();
                           span.attributes.push_back({"boardbus.outcome", word_of(result.outcome)});
                           if (result.outcome != board::PublishOutcome::accepted) {
                               span.attributes.push_back({"error.type", word_of(result.outcome)});
                               span.failure = result.reason.empty() ? word_of(result.outcome) : result.reason;
                           }
                           spans_.push(span);
                           done(std::move(result));
                       });
}

}  // namespace boardbus::transport

// A delivery source that leaves a span for every delivery: from being handed out to its verdict.
//
// Stands between a source and the pump and sees both sides' calls. The parent is the traceparent that came with the message, so each
// attempt of a message is one more child of its publication. A delivery that goes back to its queue leaves no span: nothing was
// decided. Lives on the bus loop. Spec: OpenTelemetry semantic conventions for messaging.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/trace_context.h"
#include "board/ports.h"
#include "telemetry/span_buffer.h"
#include "transport/traced_publisher.h"

namespace boardbus::transport {

class TracedSource final : public board::DeliverySource, private board::DeliverySink {
  public:
    TracedSource(board::DeliverySource& source, telemetry::SpanBuffer& spans, TracedBus bus);

    void start(board::DeliverySink& sink) override;
    void release() override;
    void settle(std::uint64_t tag, board::Verdict verdict) override;

  private:
    struct Begun {
        TraceContext context;
        std::uint64_t parent_id = 0;
        WallTime at;
    };

    void on_deliveries(std::vector<board::Delivery> deliveries) override;
    void on_copied(std::uint64_t tag) override { sink_->on_copied(tag); }
    void on_source_reset() override;
    void leave_span(const Begun& begun, const board::Verdict& verdict);

    // Constant after construction.
    board::DeliverySource& source_;
    telemetry::SpanBuffer& spans_;
    const TracedBus bus_;

    // Loop only.
    board::DeliverySink* sink_ = nullptr;
    std::unordered_map<std::uint64_t, Begun> begun_;  // By tag. Bound: the source's prefetch.
};

}  // namespace boardbus::transport

// A publisher that leaves a span for every publication: from the sealing of the message to the bus's answer.
//
// The span takes the sender's place in the traceparent that travels on, so that what a worker does becomes its child. A sender that
// says "not sampled" is obeyed: its traceparent passes unchanged. Lives on the bus loop. Spec: W3C Trace Context §3.2.2.5,
// OpenTelemetry semantic conventions for messaging.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "board/ports.h"
#include "telemetry/span_buffer.h"

namespace boardbus::transport {

/// Names of the bus as traces show them.
struct TracedBus {
    std::string system;       ///< messaging.system: rabbitmq, memory.
    std::string destination;  ///< messaging.destination.name: the exchange, the queue.
};

class TracedPublisher final : public board::Publisher {
  public:
    /// `publisher` calls nobody after its end; this object outlives it.
    TracedPublisher(board::Publisher& publisher, telemetry::SpanBuffer& spans, TracedBus bus);

    void publish(board::Publication publication, board::PublishDone done) override;

  private:
    board::Publisher& publisher_;
    telemetry::SpanBuffer& spans_;
    const TracedBus bus_;
};

}  // namespace boardbus::transport

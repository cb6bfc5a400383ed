// Sends spans to a collector: OTLP over HTTP, as JSON.
//
// A batch leaves a second after its first span or when 512 wait, one batch at a time, on a connection that is kept. Only the buffer in
// front grows while the collector is slow or away, and it is bounded: what finds no place is dropped and counted, and nobody else
// notices. A batch is tried three times; an answer that forbids another try ends it at once. Nothing happens while there are no spans.
// Lives on the bus loop. Spec: OpenTelemetry Protocol 1.3, OTLP/HTTP.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "telemetry/metrics.h"
#include "telemetry/span.h"
#include "telemetry/span_buffer.h"
#include "transport/http_answer.h"
#include "transport/stream.h"
#include "transport/url.h"

namespace boardbus::transport {

struct OtlpOptions {
    HttpUrl endpoint;                                          ///< The base: `/v1/traces` is added to its path.
    std::vector<std::pair<std::string, std::string>> headers;  ///< Checked names and values; secret.
    TlsOptions tls;
    telemetry::TraceSource source;
    std::size_t queue_spans = 2048;
    std::size_t batch_spans = 512;
    std::chrono::milliseconds batch_wait{1000};
    std::chrono::milliseconds timeout{10'000};  ///< For connecting and for the answer, together.
    int tries_max = 3;
    std::chrono::milliseconds pause_initial{1000};
    std::chrono::milliseconds pause_most{10'000};  ///< A collector that asks for more patience gets up to 30 s.
};

class OtlpExporter final : private StreamOwner {
  public:
    OtlpExporter(Loop& loop, telemetry::Metrics& metrics, OtlpOptions options);
    OtlpExporter(const OtlpExporter&) = delete;
    OtlpExporter& operator=(const OtlpExporter&) = delete;

    /// Where spans are put.
    telemetry::SpanBuffer& spans() { return spans_; }

    /// Sends what waits, each batch once, drops the rest at the first failure or after `most`; then `done`, perhaps at once.
    void stop(std::chrono::milliseconds most, Task done);

  private:
    enum class State {
        idle,        ///< No batch in hand.
        connecting,  ///< The batch waits for the connection.
        asking,      ///< The batch is sent; the answer is awaited.
        pausing,     ///< The batch waits for its next try.
    };

    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_closed(const Error& error) override;

    void on_push();
    void begin_when_due();
    void begin();
    void attempt();
    void connect();
    void on_answered();
    void on_accepted();
    void on_failed(const std::string& reason, std::chrono::milliseconds pause_least = {});
    void give_up(telemetry::SpanLoss loss, const std::string& reason);
    void pause(std::chrono::milliseconds least);
    void on_timeout();
    void end_pause();
    void finish_stop();

    // Constant after construction.
    telemetry::Metrics& metrics_;
    const Endpoint collector_;
    const std::string request_line_and_headers_;  // All but the length. Secret.
    const std::string body_head_;
    const std::size_t batch_spans_;
    const std::chrono::milliseconds batch_wait_;
    const std::chrono::milliseconds timeout_;
    const int tries_max_;

    // Loop only.
    telemetry::SpanBuffer spans_;
    State state_ = State::idle;
    telemetry::SpanBuffer::Batch batch_;  // Bound: batch_spans_. With no span: none in hand.
    int tries_ = 0;                       // Of the batch in hand.
    bool fresh_connection_ = false;       // The batch is on a connection that was made for it.
    HttpAnswer answer_;
    bool told_good_ = false;  // The log knows that the collector takes spans.
    std::string told_cause_;  // The log knows that it does not, and why.
    Backoff backoff_;
    Timer due_;       // The first span of the next batch has waited long enough.
    Timer deadline_;  // Of the try.
    Timer again_;     // The end of a pause.
    Timer stop_deadline_;
    bool stopping_ = false;
    Task stopped_;
    Stream stream_;
};

}  // namespace boardbus::transport

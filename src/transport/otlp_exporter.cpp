// SPDX-License-Identifier: Apache-2.0
#include "transport/otlp_exporter.h"

#include <algorithm>
#include <cstdint>

#include "base/random.h"
#include "telemetry/log.h"

namespace boardbus::transport {
namespace {

using telemetry::Level;
using telemetry::SpanLoss;

// The most that Retry-After may ask for: the buffer is full long before.
constexpr std::chrono::milliseconds kPauseAskedMost{30'000};

std::string path_of(const HttpUrl& endpoint) {
    return endpoint.path + (endpoint.path.ends_with('/') ? "v1/traces" : "/v1/traces");
}

std::string request_head_of(const OtlpOptions& options) {
    std::string head = "POST " + path_of(options.endpoint) +
                       " HTTP/1.1\r\nHost: " + to_text(options.endpoint.endpoint) + "\r\nUser-Agent: boardbus/" +
                       options.source.version + "\r\nContent-Type: application/json\r\n";
    for (const auto& [name, value] : options.headers) {
        head.append(name).append(": ").append(value).append("\r\n");
    }
    return head + "Content-Length: ";
}

/// What may be tried again. Spec: OTLP/HTTP, "Failures": all other codes must not be.
bool is_passing(int status) {
    return status == 429 || status == 502 || status == 503 || status == 504;
}

}  // namespace

OtlpExporter::OtlpExporter(Loop& loop, telemetry::Metrics& metrics, OtlpOptions options)
    : metrics_(metrics),
      collector_(options.endpoint.endpoint),
      request_line_and_headers_(request_head_of(options)),
      body_head_(telemetry::request_head(options.source)),
      batch_spans_(options.batch_spans),
      batch_wait_(options.batch_wait),
      timeout_(options.timeout),
      tries_max_(options.tries_max),
      spans_(options.queue_spans, [this] { on_push(); }),
      backoff_(options.pause_initial, options.pause_most),
      due_(loop, [this] { begin(); }),
      deadline_(loop, [this] { on_timeout(); }),
      again_(loop, [this] { end_pause(); }),
      stop_deadline_(loop, [this] { give_up(SpanLoss::unreachable, "not taken before the stop"); }),
      stream_(loop, *this, std::move(options.tls)) {}

void OtlpExporter::on_push() {
    if (const std::uint64_t dropped = spans_.take_dropped(); dropped > 0) {
        metrics_.spans_lost(SpanLoss::full, dropped);
    }
    if (state_ == State::idle) {
        begin_when_due();
    }
}

void OtlpExporter::begin_when_due() {
    if (spans_.size() >= batch_spans_) {
        begin();
    } else if (spans_.size() > 0 && !due_.running()) {
        due_.start(batch_wait_);
    }
}

void OtlpExporter::begin() {
    due_.stop();
    if (state_ != State::idle || spans_.size() == 0) {
        return;
    }
    batch_ = spans_.take(batch_spans_);
    tries_ = 0;
    attempt();
}

void OtlpExporter::attempt() {
    ++tries_;
    deadline_.start(timeout_);
    fresh_connection_ = false;
    if (stream_.is_open()) {
        on_open();
    } else {
        connect();
    }
}

void OtlpExporter::connect() {
    fresh_connection_ = true;
    state_ = State::connecting;
    stream_.open(collector_, timeout_);
}

void OtlpExporter::on_open() {
    state_ = State::asking;
    answer_ = HttpAnswer();
    const std::size_t bytes = body_head_.size() + batch_.spans.size() + telemetry::kRequestTail.size();
    stream_.write(request_line_and_headers_ + std::to_string(bytes) + "\r\n\r\n");
    stream_.write(body_head_);
    stream_.write(batch_.spans);
    stream_.write(telemetry::kRequestTail);
}

void OtlpExporter::on_bytes(std::string_view bytes) {
    if (state_ != State::asking) {
        // Words without a question: whose answer they are nobody could say.
        stream_.close();
        return;
    }
    const auto complete = answer_.feed(bytes);
    if (!complete) {
        stream_.close();
        on_failed(to_text(collector_) + ": " + complete.error().detail);
    } else if (*complete) {
        on_answered();
    }
}

void OtlpExporter::on_closed(const Error& error) {
    if (state_ == State::asking && !fresh_connection_ && !answer_.begun()) {
        // It ended the kept connection while our request was on its way: no failure, but what keeping connections costs.
        connect();
    } else if (state_ == State::asking || state_ == State::connecting) {
        on_failed(error.detail);
    }
}

void OtlpExporter::on_timeout() {
    stream_.close();
    on_failed(to_text(collector_) + ": no answer within " + std::to_string(timeout_.count()) + " ms");
}

void OtlpExporter::on_answered() {
    deadline_.stop();
    if (!answer_.reusable()) {
        stream_.close();
    }
    const int status = answer_.status();
    if (status < 300) {
        on_accepted();
        return;
    }
    const std::string reason = to_text(collector_) + ": HTTP " + std::to_string(status);
    const std::chrono::milliseconds asked = answer_.retry_after().value_or(std::chrono::seconds(0));
    if (is_passing(status)) {
        on_failed(reason, std::min(asked, kPauseAskedMost));
    } else {
        give_up(SpanLoss::refused, reason);
    }
}

void OtlpExporter::on_accepted() {
    metrics_.spans_exported(batch_.count);
    batch_ = {};
    state_ = State::idle;
    backoff_.reset();
    told_cause_.clear();
    if (!std::exchange(told_good_, true)) {
        telemetry::log(Level::info, "traces_exported", {{"collector", to_text(collector_)}});
    }
    if (!stopping_) {
        begin_when_due();
    } else if (spans_.size() > 0) {
        begin();
    } else {
        finish_stop();
    }
}

void OtlpExporter::on_failed(const std::string& reason, std::chrono::milliseconds pause_least) {
    deadline_.stop();
    if (stopping_ || tries_ >= tries_max_) {
        give_up(SpanLoss::unreachable, reason);
    } else {
        pause(pause_least);
    }
}

/// The batch in hand is lost; at a stop all others, too.
void OtlpExporter::give_up(SpanLoss loss, const std::string& reason) {
    if (stopping_) {
        batch_.count += spans_.take(spans_.size()).count;
    }
    metrics_.spans_lost(loss, batch_.count);
    if (std::exchange(told_cause_, reason) != reason) {
        told_good_ = false;
        telemetry::log(Level::warn, "traces_lost",
                       {{"spans", static_cast<std::int64_t>(batch_.count)}, {"reason", reason}});
    }
    batch_ = {};
    if (stopping_) {
        finish_stop();
    } else {
        // The next batch would fare no better at once.
        pause({});
    }
}

void OtlpExporter::pause(std::chrono::milliseconds least) {
    state_ = State::pausing;
    again_.start(std::max(backoff_.next(random_unit()), least));
}

void OtlpExporter::end_pause() {
    state_ = State::idle;
    if (batch_.count > 0) {
        attempt();
    } else {
        begin();
    }
}

void OtlpExporter::stop(std::chrono::milliseconds most, Task done) {
    stopping_ = true;
    stopped_ = std::move(done);
    stop_deadline_.start(most);
    if (state_ == State::pausing) {
        again_.stop();
        end_pause();
    } else if (state_ == State::idle) {
        begin();
    }
    if (state_ == State::idle) {
        // There was nothing to begin.
        finish_stop();
    }
}

void OtlpExporter::finish_stop() {
    state_ = State::idle;
    due_.stop();
    deadline_.stop();
    again_.stop();
    stop_deadline_.stop();
    stream_.close();
    if (stopped_) {
        std::exchange(stopped_, nullptr)();
    }
}

}  // namespace boardbus::transport

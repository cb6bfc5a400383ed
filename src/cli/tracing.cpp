// SPDX-License-Identifier: Apache-2.0
#include "cli/tracing.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "cli/version.h"

namespace boardbus::cli {
namespace {

constexpr std::chrono::milliseconds kFlushMost{2000};

std::string system_of(const Config& config) {
    return config.event_transport == EventTransport::memory ? "memory" : "rabbitmq";
}

std::unique_ptr<transport::OtlpExporter> make_exporter(Loop& loop, telemetry::Metrics& metrics, const Config& config,
                                                       std::string command) {
    if (!config.telemetry.otlp_endpoint || !config.web.telemetry_enabled) {
        return nullptr;
    }
    return std::make_unique<transport::OtlpExporter>(
        loop, metrics,
        transport::OtlpOptions{.endpoint = *config.telemetry.otlp_endpoint,
                               .headers = config.telemetry.otlp_headers,
                               .tls = {},
                               .source = {.service_name = config.telemetry.service_name,
                                          .version = std::string(version()),
                                          .command = std::move(command),
                                          .instance_id = random_uuid()}});
}

}  // namespace

Tracing::Tracing(Loop& loop, telemetry::Metrics& metrics, const Config& config, std::string command)
    : publish_names_{system_of(config), config.rabbitmq.topology.main.exchange},
      process_names_{system_of(config), config.rabbitmq.topology.main.queue},
      exporter_(make_exporter(loop, metrics, config, std::move(command))) {}

board::Publisher& Tracing::traced_publisher(board::Publisher& publisher) {
    if (!on()) {
        return publisher;
    }
    publisher_ = std::make_unique<transport::TracedPublisher>(publisher, exporter_->spans(), publish_names_);
    return *publisher_;
}

board::DeliverySource& Tracing::traced_source(board::DeliverySource& source) {
    if (!on()) {
        return source;
    }
    sources_.push_back(std::make_unique<transport::TracedSource>(source, exporter_->spans(), process_names_));
    return *sources_.back();
}

void Tracing::stop(std::chrono::milliseconds most, Task done) {
    if (on()) {
        exporter_->stop(most, std::move(done));
    } else {
        done();
    }
}

std::chrono::milliseconds flush_time(std::chrono::nanoseconds left) {
    return std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(left / 2), std::chrono::milliseconds(0),
                      kFlushMost);
}

}  // namespace boardbus::cli

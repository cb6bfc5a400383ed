// SPDX-License-Identifier: Apache-2.0
#include "cli/app_bus.h"
#include "cli/broker_options.h"
#include "transport/delivery_pump.h"
#include "transport/memory_bus.h"
#include "transport/memory_queue.h"

namespace boardbus::cli {
namespace {

class MemoryAppBus final : public AppBus {
  public:
    MemoryAppBus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics, Tracing& tracing,
                 const Config& config)
        : queue_(loop, metrics, {.bytes_max = config.publish.queue_bytes, .prefetch = config.rabbitmq.prefetch}),
          bus_(loop, sink, {.idempotency_ttl = config.redis.idempotency_ttl, .history = history_bounds(config)}),
          pump_(loop, bus_, tracing.traced_source(queue_), metrics, {.retry = config.rabbitmq.retry}) {}

    board::Publisher& publisher() override { return queue_; }
    board::ActivityHistory& history() override { return bus_.history(); }

    void start(std::function<void(bool)> on_usable) override {
        bus_.start();
        pump_.start();
        on_usable(true);
    }

    void stop(Task done) override { pump_.stop(std::move(done)); }

  private:
    transport::MemoryQueue queue_;
    transport::MemoryBus bus_;
    transport::DeliveryPump pump_;
};

}  // namespace

std::unique_ptr<AppBus> make_memory_bus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics,
                                        Tracing& tracing, const Config& config) {
    return std::make_unique<MemoryAppBus>(loop, sink, metrics, tracing, config);
}

}  // namespace boardbus::cli

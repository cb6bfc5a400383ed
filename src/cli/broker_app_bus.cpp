// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include "board/lanes.h"
#include "cli/app_bus.h"
#include "cli/broker_options.h"
#include "telemetry/log.h"
#include "transport/rabbitmq_publisher.h"
#include "transport/redis_feed.h"

namespace boardbus::cli {
namespace {

class BrokerAppBus final : public AppBus {
  public:
    BrokerAppBus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics, const Config& config)
        : metrics_(metrics),
          publisher_(loop, metrics,
                     {.connection = amqp_options(config, "boardbus app: publisher"),
                      .lanes = board::make_lanes(config.rabbitmq.topology, config.rabbitmq.lanes),
                      .timeout = config.publish.timeout,
                      .window = config.publish.window,
                      .queue_bytes = config.publish.queue_bytes},
                     [this](bool) { tell(); }),
          feed_(loop, redis_options(config), config.redis.activity_channel, sink, metrics,
                [this](const Result<void>& live) { on_feed(live); }) {}

    board::Publisher& publisher() override { return publisher_; }
    board::ActivityHistory& history() override { return feed_.history(); }

    void start(std::function<void(bool)> on_usable) override {
        on_usable_ = std::move(on_usable);
        publisher_.start();
        feed_.start();
    }

    void stop(Task done) override { publisher_.stop(std::move(done)); }

  private:
    void on_feed(const Result<void>& live) {
        metrics_.connected(telemetry::Peer::redis, live.has_value());
        if (live) {
            telemetry::log(telemetry::Level::info, "redis_subscribed");
        } else {
            telemetry::log(telemetry::Level::warn, "redis_unavailable", {{"reason", live.error().detail}});
        }
        tell();
    }

    void tell() {
        const bool usable = publisher_.is_open() && feed_.is_live();
        if (std::exchange(usable_, usable) != usable) {
            on_usable_(usable);
        }
    }

    telemetry::Metrics& metrics_;
    std::function<void(bool)> on_usable_;
    bool usable_ = false;
    transport::RabbitPublisher publisher_;
    transport::RedisFeed feed_;
};

}  // namespace

std::unique_ptr<AppBus> make_broker_bus(Loop& loop, board::ActivitySink& sink, telemetry::Metrics& metrics,
                                        const Config& config) {
    return std::make_unique<BrokerAppBus>(loop, sink, metrics, config);
}

}  // namespace boardbus::cli

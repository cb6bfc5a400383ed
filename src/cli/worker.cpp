// `boardbus worker`: RabbitMQ on one side, Redis on the other, the delivery pump between them, and a small edge for health and metrics.
//
// One loop, one thread. It serves /healthz at once and begins to consume after the first write that Redis has taken. Stop: nothing
// new is begun, the commit under way is settled and acked, what is left unacked returns to the queue.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <utility>

#include "base/loop.h"
#include "cli/broker_options.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "cli/tracing.h"
#include "cli/worker_lanes.h"
#include "hub/hub.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "transport/redis_bus.h"
#include "web/edge.h"

namespace boardbus::cli {
namespace {

using telemetry::Level;

web::Options admin_options(const Config& config) {
    web::Options options = config.web;
    options.surface = web::Surface::admin;
    options.host = config.worker.host;
    options.port = config.worker.port;
    return options;
}

/// The worker's edge takes no messages.
class NoPublisher final : public board::Publisher {
  public:
    void publish(board::Publication, board::PublishDone done) override {
        done({board::PublishOutcome::rejected, "this is a worker"});
    }
};

class Worker {
  public:
    explicit Worker(const Config& config)
        : files_(raise_file_limit()),
          options_(admin_options(config)),
          signals_(loop_, [this] { stop(); }),
          tracing_(loop_, metrics_, config, "worker"),
          bus_(loop_,
               {.redis = redis_options(config),
                .prefix = config.redis.idempotency_prefix,
                .ttl = config.redis.idempotency_ttl,
                .channel = config.redis.activity_channel,
                .history = history_bounds(config),
                .wait_replicas = config.redis.wait_replicas,
                .wait_timeout = config.redis.wait_timeout},
               [this](const Result<void>& up) { on_redis(up); }),
          lanes_(loop_, metrics_, bus_, tracing_, config, [this] { look(); }),
          look_timer_(loop_, [this] { look(); }),
          grace_(loop_, [this] { loop_.stop(); }),
          hub_(loop_, web::make_ws_encoder(), metrics_),
          slow_budget_(options_.slow_consumer_bytes, options_.slow_consumer_total_bytes),
          pages_(options_),
          occupancy_{web::Places(files_ / 2), web::Places(0)},
          services_{loop_, publisher_, hub_, slow_budget_, metrics_, readiness_, pages_, rate_limits_, occupancy_},
          edge_(loop_, options_, services_) {}

    /// Errors: the port is taken or not allowed.
    Result<void> listen() {
        auto listener = web::open_listener(options_.host, options_.port, web::Door::first);
        if (!listener) {
            return std::unexpected(listener.error());
        }
        const std::int64_t port = web::bound_port(listener->get());
        edge_.listen(std::move(*listener));
        telemetry::log(Level::info, "listening", {{"host", options_.host}, {"port", port}});
        return {};
    }

    void run() {
        bus_.start();
        lanes_.start();
        look();
        loop_.run();
    }

  private:
    void on_redis(const Result<void>& up) {
        metrics_.connected(telemetry::Peer::redis, up.has_value());
        if (up) {
            telemetry::log(Level::info, "redis_connected");
        } else {
            telemetry::log(Level::warn, "redis_unavailable", {{"reason", up.error().detail}});
        }
        look();
    }

    /// Ready: deliveries can come and Redis takes writes. A standby of the single active consumer is ready, too.
    void look() {
        look_timer_.start(std::chrono::milliseconds(500));
        const bool usable = !stopping_ && bus_.is_up() && lanes_.usable();
        if (std::exchange(usable_, usable) == usable) {
            return;
        }
        readiness_.set(usable ? web::Readiness::State::ready : web::Readiness::State::degraded);
        metrics_.ready(usable);
        if (stopping_) {
            return;
        }
        telemetry::log(usable ? Level::info : Level::warn, usable ? "ready" : "degraded");
    }

    void stop() {
        stopping_ = true;
        look();
        grace_.start(options_.shutdown_grace);
        stop_due_ = loop_.now() + options_.shutdown_grace;
        lanes_.stop([this] {
            tracing_.stop(flush_time(stop_due_ - loop_.now()), [this] {
                edge_.drain(std::chrono::milliseconds(100), [this] {
                    telemetry::log(Level::info, "stopped");
                    loop_.stop();
                });
            });
        });
    }

    // Constant after construction. The order is that of dependence: who is used stands before who uses.
    Loop loop_;
    const std::size_t files_;
    const web::Options options_;
    telemetry::Metrics metrics_;
    StopSignals signals_;
    web::Readiness readiness_;
    Tracing tracing_;
    transport::RedisBus bus_;
    WorkerLanes lanes_;
    Timer look_timer_;
    Timer grace_;
    NoPublisher publisher_;
    hub::Hub hub_;
    hub::SlowBudget slow_budget_;
    web::Pages pages_;
    web::MemoryRateLimits rate_limits_;
    web::Occupancy occupancy_;
    web::EdgeServices services_;
    web::Edge edge_;

    // Loop only.
    bool usable_ = false;
    bool stopping_ = false;
    Instant stop_due_{};
};

}  // namespace

int run_worker(const Config& config) {
    Worker worker(config);
    if (const auto listening = worker.listen(); !listening) {
        telemetry::log(Level::error, "cannot_listen", {{"reason", listening.error().detail}});
        return 1;
    }
    worker.run();
    return 0;
}

}  // namespace boardbus::cli

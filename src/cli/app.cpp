// `boardbus app`: the loops, the hub, an edge on each loop, and the bus behind them.
//
// Main thread = loop 0 = bus loop. Start: everything is built, then listens, then the bus connects: so /healthz answers and /readyz says
// `starting` while brokers are away. Stop: readiness fails first, sessions end (1001), outstanding publishes are answered, the bus
// says goodbye, the last traces leave, the loops end.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/loop.h"
#include "cli/app_bus.h"
#include "cli/broker_options.h"
#include "cli/commands.h"
#include "cli/process.h"
#include "cli/redis_rate_limits.h"
#include "cli/tracing.h"
#include "hub/hub.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"
#include "web/edge.h"

namespace boardbus::cli {
namespace {

using telemetry::Level;

// Descriptors that are no client sockets: broker connections, epoll sets, event descriptors, log, listeners. 64 is several times that.
constexpr std::size_t kFileReserve = 64;

web::Options with_file_limit(web::Options options, std::size_t files) {
    const std::size_t most = files > 2 * kFileReserve ? files - kFileReserve : files / 2;
    if (options.max_connections > most) {
        telemetry::log(Level::warn, "connection_limit_lowered",
                       {{"configured", static_cast<std::int64_t>(options.max_connections)},
                        {"effective", static_cast<std::int64_t>(most)},
                        {"open_files_limit", static_cast<std::int64_t>(files)}});
        options.max_connections = most;
    }
    return options;
}

class App {
  public:
    explicit App(const Config& config)
        : files_(raise_file_limit()),
          options_(with_file_limit(config.web, files_)),
          signals_(bus_loop_, [this] { stop(); }),
          hub_(bus_loop_, web::make_ws_encoder(), metrics_),
          tracing_(bus_loop_, metrics_, config, "app"),
          bus_(config.event_transport == EventTransport::memory
                   ? make_memory_bus(bus_loop_, hub_, metrics_, tracing_, config)
                   : make_broker_bus(bus_loop_, hub_, metrics_, config)),
          slow_budget_(options_.slow_consumer_bytes, options_.slow_consumer_total_bytes),
          grace_(bus_loop_, [this] { give_up(); }),
          pages_(options_),
          occupancy_{web::Places(files_ - std::min(files_ / 2, kFileReserve)), web::Places(options_.max_connections)},
          services_{bus_loop_, tracing_.traced_publisher(bus_->publisher()),
                    hub_,      slow_budget_,
                    metrics_,  readiness_,
                    pages_,    share_limits(config),
                    occupancy_} {
        hub_.set_history(bus_->history());
        const std::size_t loops = config.threads == 0 ? usable_cores() : config.threads;
        edges_.push_back(std::make_unique<web::Edge>(bus_loop_, options_, services_));
        for (std::size_t i = 1; i < loops; ++i) {
            other_loops_.push_back(std::make_unique<Loop>());
            edges_.push_back(std::make_unique<web::Edge>(*other_loops_.back(), options_, services_));
        }
    }

    /// Errors: the port is taken or not allowed.
    Result<void> listen() {
        std::uint16_t port = options_.port;
        for (auto& edge : edges_) {
            const auto door = edge == edges_.front() ? web::Door::first : web::Door::another;
            auto listener = web::open_listener(options_.host, port, door);
            if (!listener) {
                return std::unexpected(listener.error());
            }
            port = web::bound_port(listener->get());  // Port 0 chose one: the other loops join it.
            edge->listen(std::move(*listener));
        }
        telemetry::log(Level::info, "listening",
                       {{"host", options_.host},
                        {"port", std::int64_t{port}},
                        {"loops", static_cast<std::int64_t>(edges_.size())}});
        return {};
    }

    void run() {
        bus_->start([this](bool usable) { set_usable(usable); });
        std::vector<std::jthread> threads;
        threads.reserve(other_loops_.size());
        for (auto& loop : other_loops_) {
            threads.emplace_back([&loop = *loop] { loop.run(); });
        }
        bus_loop_.run();
        for (auto& loop : other_loops_) {
            loop->stop();
        }
    }

  private:
    web::RateLimitStore& share_limits(const Config& config) {
        if (!config.rate_limit_redis) {
            return own_limits_;
        }
        return shared_limits_.emplace(bus_loop_, rate_limit_options(config));
    }

    void set_usable(bool usable) {
        if (stopping_ || (!usable && readiness_.get() == web::Readiness::State::starting)) {
            return;
        }
        readiness_.set(usable ? web::Readiness::State::ready : web::Readiness::State::degraded);
        metrics_.ready(usable);
        telemetry::log(usable ? Level::info : Level::warn, usable ? "ready" : "degraded");
    }

    void stop() {
        stopping_ = true;
        readiness_.set(web::Readiness::State::degraded);
        metrics_.ready(false);
        edges_draining_ = edges_.size();
        grace_.start(options_.shutdown_grace);
        stop_due_ = bus_loop_.now() + options_.shutdown_grace;
        // A quarter of the grace is left for the bus and for the end of the process.
        const auto grace = std::chrono::milliseconds(options_.shutdown_grace) * 3 / 4;
        for (auto& edge : edges_) {
            edge->loop().post([this, grace, &edge = *edge] {
                edge.drain(grace, [this] { bus_loop_.post([this] { edge_drained(); }); });
            });
        }
    }

    void edge_drained() {
        if (--edges_draining_ == 0) {
            bus_->stop([this] {
                tracing_.stop(flush_time(stop_due_ - bus_loop_.now()), [this] {
                    telemetry::log(Level::info, "stopped");
                    bus_loop_.stop();
                });
            });
        }
    }

    void give_up() {
        telemetry::log(Level::warn, "stopped_late", {{"grace_seconds", std::int64_t{options_.shutdown_grace.count()}}});
        bus_loop_.stop();
    }

    // Constant after construction. The order is that of dependence: who is used stands before who uses.
    Loop bus_loop_;
    const std::size_t files_;
    const web::Options options_;
    telemetry::Metrics metrics_;
    StopSignals signals_;
    hub::Hub hub_;
    Tracing tracing_;
    std::unique_ptr<AppBus> bus_;
    hub::SlowBudget slow_budget_;
    Timer grace_;
    web::Readiness readiness_;
    web::Pages pages_;
    web::MemoryRateLimits own_limits_;
    std::optional<RedisRateLimits> shared_limits_;
    web::Occupancy occupancy_;
    web::EdgeServices services_;
    std::vector<std::unique_ptr<Loop>> other_loops_;
    std::vector<std::unique_ptr<web::Edge>> edges_;

    // Bus loop only.
    std::size_t edges_draining_ = 0;
    bool stopping_ = false;
    Instant stop_due_{};
};

}  // namespace

int run_app(const Config& config) {
    App app(config);
    if (const auto listening = app.listen(); !listening) {
        telemetry::log(Level::error, "cannot_listen", {{"reason", listening.error().detail}});
        return 1;
    }
    app.run();
    return 0;
}

}  // namespace boardbus::cli

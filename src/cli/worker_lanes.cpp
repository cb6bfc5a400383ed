// SPDX-License-Identifier: Apache-2.0
#include "cli/worker_lanes.h"

#include <chrono>
#include <utility>

#include "base/random.h"
#include "board/lanes.h"
#include "cli/broker_options.h"
#include "telemetry/log.h"

namespace boardbus::cli {
namespace {

using telemetry::Level;

// How long the roster must be the same before a lane changes hands: a worker that restarts should find its lanes.
constexpr std::chrono::seconds kSettled{3};

// A lane that stayed away for so long has not come back from whom it was given to: longer than the longest wait of LaneTurn.
constexpr std::chrono::minutes kStayed{10};

std::string connection_name(std::size_t lane, std::size_t lanes) {
    return lanes == 1 ? "boardbus worker: consumer" : "boardbus worker: lane " + std::to_string(lane + 1);
}

}  // namespace

bool LaneTurn::give(const std::string& worker, Instant now, double chance) {
    if (worker != last_ || now - given_at_ >= kStayed) {
        wait_.reset();
    } else if (now < next_) {
        return false;
    }
    last_ = worker;
    given_at_ = now;
    next_ = now + wait_.next(chance);
    return true;
}

WorkerLanes::Lane::Lane(Loop& loop, telemetry::Metrics& metrics, board::ActivityBus& bus, Tracing& tracing,
                        const Config& config, std::size_t number, const std::function<void()>& on_change)
    : consumer(loop, metrics,
               {.connection = amqp_options(config, connection_name(number, config.rabbitmq.lanes)),
                .topology = board::make_topology(board::lane_options(config.rabbitmq.topology, number)),
                .prefetch = config.rabbitmq.prefetch,
                .dlq_watch = number == 0 ? transport::DlqWatch::yes : transport::DlqWatch::no,
                .traceparents = tracing.on() ? transport::Traceparents::read : transport::Traceparents::ignored},
               [on_change](bool) { on_change(); }),
      source(tracing.traced_source(consumer)),
      pump(loop, bus, source, metrics,
           {.retry = config.rabbitmq.retry,
            .on_outage = config.worker.pause_on_outage ? transport::OnOutage::pause : transport::OnOutage::charge}) {}

WorkerLanes::WorkerLanes(Loop& loop, telemetry::Metrics& metrics, board::ActivityBus& bus, Tracing& tracing,
                         const Config& config, const std::function<void()>& on_change)
    : loop_(loop), id_(random_uuid()) {
    for (std::size_t number = 0; number < config.rabbitmq.lanes; ++number) {
        lanes_.push_back(std::make_unique<Lane>(loop, metrics, bus, tracing, config, number, on_change));
    }
    if (lanes_.size() > 1 && config.rabbitmq.topology.single_active_consumer) {
        const transport::RedisOptions redis = redis_options(config);
        const std::string key =
            redis.tagged(config.redis.activity_channel) + ":workers:" + config.rabbitmq.topology.main.queue;
        roster_.emplace(loop, redis, key, id_, [this](const auto& members) { on_members(members); });
    }
}

void WorkerLanes::start() {
    for (const auto& lane : lanes_) {
        lane->consumer.connect();
        lane->pump.start();
    }
    if (roster_) {
        roster_->start();
    }
}

bool WorkerLanes::usable() const {
    for (const auto& lane : lanes_) {
        if (!lane->consumer.is_open() || lane->pump.holding()) {
            return false;
        }
    }
    return true;
}

/// At most one lane a second changes hands.
void WorkerLanes::on_members(const std::vector<std::string>& members) {
    if (members != members_) {
        members_ = members;
        members_since_ = loop_.now();
        telemetry::log(Level::info, "workers", {{"count", static_cast<std::int64_t>(members.size())}});
        return;
    }
    if (stopped_ || members_.empty() || loop_.now() - members_since_ < kSettled) {
        return;
    }
    for (std::size_t number = 0; number < lanes_.size(); ++number) {
        Lane& lane = *lanes_[number];
        const std::string& owner = board::owner_of(number, members_);
        if (owner != id_ && lane.consumer.has_been_active() && lane.turn.give(owner, loop_.now(), random_unit())) {
            telemetry::log(Level::info, "lane_given_up", {{"lane", static_cast<std::int64_t>(number + 1)}});
            lane.pump.give_back();
            return;
        }
    }
}

void WorkerLanes::stop(Task done) {
    stopped_ = std::move(done);
    running_ = lanes_.size();
    if (roster_) {
        roster_->leave();
    }
    for (const auto& lane : lanes_) {
        lane->pump.stop([this, &lane = *lane] { lane.consumer.stop([this] { one_stopped(); }); });
    }
}

void WorkerLanes::one_stopped() {
    if (--running_ == 0) {
        std::exchange(stopped_, nullptr)();
    }
}

}  // namespace boardbus::cli

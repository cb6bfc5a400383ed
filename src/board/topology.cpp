// SPDX-License-Identifier: Apache-2.0
#include "board/topology.h"

#include <algorithm>

namespace boardbus::board {
namespace {

// High, because flapping connections charge innocent neighbours; the worker's own counter acts first.
constexpr std::int64_t kMainDeliveryLimit = 1000;
// Looking into the dead letters must not empty their queue.
constexpr std::int64_t kDlqDeliveryLimit = 1'000'000;

using Arguments = std::vector<std::pair<std::string, QueueArgument>>;

/// Where the broker sends what leaves a queue by expiry or by its limit, without a loss on the way when the queue can
/// do that.
void add_dead_letter_route(Arguments& arguments, const RouteNames& to, QueueType type) {
    arguments.emplace_back("x-dead-letter-exchange", to.exchange);
    arguments.emplace_back("x-dead-letter-routing-key", to.routing_key);
    arguments.emplace_back("x-overflow", "reject-publish");
    if (type == QueueType::quorum) {
        arguments.emplace_back("x-dead-letter-strategy", "at-least-once");
    }
}

/// A classic queue names no type: so do the programs that share it.
Arguments typed(QueueType type) {
    return type == QueueType::quorum ? Arguments{{"x-queue-type", "quorum"}} : Arguments{};
}

QueuePlan main_queue(const TopologyOptions& options) {
    Arguments arguments = typed(options.queue_type);
    if (options.single_active_consumer) {
        arguments.emplace_back("x-single-active-consumer", true);
    }
    if (options.queue_type == QueueType::quorum) {
        arguments.emplace_back("x-delivery-limit", kMainDeliveryLimit);
        add_dead_letter_route(arguments, options.dlq, options.queue_type);
    }
    return {options.main.queue, options.main.exchange, options.main.routing_key, std::move(arguments)};
}

QueuePlan dlq_queue(const TopologyOptions& options) {
    Arguments arguments = typed(options.queue_type);
    if (options.queue_type == QueueType::quorum) {
        arguments.emplace_back("x-delivery-limit", kDlqDeliveryLimit);
    }
    return {options.dlq.queue, options.dlq.exchange, options.dlq.routing_key, std::move(arguments)};
}

QueuePlan level_queue(const TopologyOptions& options, int level) {
    const std::string suffix = level == 1 ? "" : "." + std::to_string(level);
    Arguments arguments = typed(options.queue_type);
    add_dead_letter_route(arguments, options.main, options.queue_type);
    return {options.retry.queue + suffix, options.retry.exchange, options.retry.routing_key + suffix,
            std::move(arguments)};
}

}  // namespace

Topology make_topology(const TopologyOptions& options) {
    Topology topology{.exchanges = {},
                      .main = main_queue(options),
                      .dlq = dlq_queue(options),
                      .levels = {},
                      .queue_type = options.queue_type};
    for (const RouteNames* names : {&options.main, &options.retry, &options.dlq}) {
        if (std::ranges::find(topology.exchanges, names->exchange) == topology.exchanges.end()) {
            topology.exchanges.push_back(names->exchange);
        }
    }
    for (int level = 1; level <= options.retries_max; ++level) {
        topology.levels.push_back(level_queue(options, level));
    }
    return topology;
}

QueuePlan fallback_level(const QueuePlan& level) {
    QueuePlan fallback = level;
    fallback.name += ".bb";
    fallback.routing_key += ".bb";
    return fallback;
}

}  // namespace boardbus::board

// The exchanges, queues and bindings of the broker, as data. Spec: CONTRACT §5.
//
// A failed message waits in a level queue until it expires back to the main exchange. Each level has its own queue,
// because only the head of a queue expires: in one queue a long wait would hold up the short ones behind it. The wait
// is each message's `expiration`, never a queue argument, so that a new RETRY_DELAY_MS needs no new queue.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace boardbus::board {

enum class QueueType { quorum, classic };

/// The names of one exchange with its queue.
struct RouteNames {
    std::string exchange;
    std::string queue;
    std::string routing_key;
};

struct TopologyOptions {
    RouteNames main{"advanced.board.events", "advanced.board.events", "boards.activity"};
    RouteNames retry{"advanced.board.events.retry", "advanced.board.events.retry", "boards.activity.retry"};
    RouteNames dlq{"advanced.board.events.dlq", "advanced.board.events.dlq", "boards.activity.dlq"};
    QueueType queue_type = QueueType::quorum;
    bool single_active_consumer = true;
    int retries_max = 5;
};

using QueueArgument = std::variant<std::string, std::int64_t, bool>;

/// A durable queue and its one binding.
struct QueuePlan {
    std::string name;
    std::string exchange;
    std::string routing_key;
    std::vector<std::pair<std::string, QueueArgument>> arguments;
};

struct Topology {
    std::vector<std::string> exchanges;  ///< Durable, topic; each name once.
    QueuePlan main;
    QueuePlan dlq;
    std::vector<QueuePlan> levels;  ///< levels[n - 1] serves retry n; as many as retries_max.
    QueueType queue_type = QueueType::quorum;
};

Topology make_topology(const TopologyOptions& options);

/// The queue that serves instead of a level queue that somebody else declared in another way: same arguments, own name
/// and key.
QueuePlan fallback_level(const QueuePlan& level);

}  // namespace boardbus::board

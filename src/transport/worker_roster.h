// Which workers live, told by Redis, so that they can share the lanes.
//
// Each worker says every second that it is there; who has been silent for five is not. RabbitMQ alone decides who is active on a
// lane (single active consumer): the roster only tells who should give one up, so a wrong or late roster costs balance, never order.
// While Redis is away the last answer stays. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "transport/redis_connection.h"

namespace boardbus::transport {

class WorkerRoster final : private RedisOwner {
  public:
    /// `on_members` hears the ids of the living workers, sorted, this one among them, at every answer.
    /// Bound: the first kWorkersMax of them. `key` names those who share the same lanes.
    using OnMembers = std::function<void(const std::vector<std::string>& members)>;

    static constexpr std::size_t kWorkersMax = 1000;

    WorkerRoster(Loop& loop, RedisOptions redis, std::string key, std::string id, OnMembers on_members);

    void start() { connection_.start(); }

    /// Takes this worker off, so that others need not wait for its silence. Unanswered: a stop waits for nobody.
    void leave();

  private:
    void on_redis_up() override { tell(); }
    void on_redis_down(const Error& /*error*/) override { timer_.stop(); }
    void on_redis_messages(const std::vector<RedisReply>& /*messages*/) override {}
    void tell();
    void on_answer(const Result<std::vector<RedisReply>>& replies);

    // Constant after construction.
    const std::string key_;
    const std::string id_;
    const OnMembers on_members_;

    // Loop only.
    RedisConnection connection_;
    Timer timer_;
};

}  // namespace boardbus::transport

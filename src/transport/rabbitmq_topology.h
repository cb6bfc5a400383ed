// Declares the exchanges, queues and bindings at every connect and every 30 s, and lives with what it finds.
//
// A missing binding of a level costs its messages 180 s, hence the timer. What exists already with other arguments is used as it is
// (main queue, DLQ, exchanges) or replaced by a queue of our own name (levels, where a foreign queue could be a black hole); either is
// said once per process. Nothing is ever deleted. Lives on its connection's loop. Spec: CONTRACT §5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "board/topology.h"
#include "telemetry/metrics.h"
#include "transport/amqp_channel.h"

namespace boardbus::transport {

class RabbitTopology final : private AmqpChannelOwner {
  public:
    RabbitTopology(Loop& loop, AmqpConnection& connection, telemetry::Metrics& metrics, board::Topology topology);

    /// Declares everything once, then again every 30 s while the connection is open. Joins a pass that is under way.
    /// Bound: one waiting `done` per caller. Errors: the first one met; what could be declared has been.
    void declare(std::move_only_function<void(Result<void>)> done);

    const board::Topology& names() const { return topology_; }

    /// The route of retry `level` (from 1; beyond the last: the last), as it is used now.
    const board::QueuePlan& level(int level) const;

    /// Messages that waited in the main queue when it was last declared.
    std::uint32_t main_ready() const { return main_ready_; }

    /// True when the broker itself moves to the DLQ what is rejected from the main queue.
    bool main_dead_letters() const;

    /// True when the DLQ is not as we declare it: how often it lets itself be looked into is not known.
    bool dlq_is_foreign() const { return is_foreign(Role::dlq); }

  private:
    enum class Role { exchange, main, dlq, level };
    struct Item {
        Role role;
        board::QueuePlan* queue;  // Not for an exchange.
        std::string exchange;
        bool foreign = false;   // Exists with other arguments: look only.
        bool replaced = false;  // A level: the queue of our own name serves.
        bool reported = false;
    };

    void on_channel_lost(const Error&) override {}
    bool is_foreign(Role role) const;
    void again();
    void next();
    void declare_item();
    void on_declared(const Result<amqp::Method>& answer);
    void on_refused(const Error& error);
    void bind_item();
    void item_done(const Result<amqp::Method>& answer);
    void report(Item& item, std::string_view what);
    void finish();
    std::string_view name_of(const Item& item) const;

    // Constant after construction, except that a level may be replaced.
    AmqpConnection& connection_;
    telemetry::Metrics& metrics_;
    board::Topology topology_;

    // Loop only.
    AmqpChannel channel_;
    std::vector<Item> items_;
    std::uint32_t main_ready_ = 0;
    std::size_t at_ = 0;  // The item of the pass under way.
    bool under_way_ = false;
    Result<void> result_;
    std::string last_problem_;
    std::vector<std::move_only_function<void(Result<void>)>> waiting_;
    Timer timer_;
};

}  // namespace boardbus::transport

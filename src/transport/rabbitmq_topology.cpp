// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_topology.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "telemetry/log.h"

namespace boardbus::transport {
namespace {

using telemetry::Level;

constexpr std::chrono::seconds kEvery{30};

amqp::Table to_table(const std::vector<std::pair<std::string, board::QueueArgument>>& arguments) {
    amqp::Table table;
    for (const auto& [name, value] : arguments) {
        table.emplace_back(name, std::visit([](const auto& one) { return amqp::Value(one); }, value));
    }
    return table;
}

bool is_code(const Error& error, std::string_view code) {
    return error.code == Errc::refused && error.detail.starts_with(code);
}

}  // namespace

RabbitTopology::RabbitTopology(Loop& loop, AmqpConnection& connection, telemetry::Metrics& metrics,
                               board::Topology topology)
    : connection_(connection),
      metrics_(metrics),
      topology_(std::move(topology)),
      channel_(loop, connection, *this),
      timer_(loop, [this] { again(); }) {
    for (const std::string& exchange : topology_.exchanges) {
        items_.push_back({.role = Role::exchange, .queue = nullptr, .exchange = exchange});
    }
    items_.push_back({.role = Role::main, .queue = &topology_.main, .exchange = {}});
    items_.push_back({.role = Role::dlq, .queue = &topology_.dlq, .exchange = {}});
    for (board::QueuePlan& level : topology_.levels) {
        items_.push_back({.role = Role::level, .queue = &level, .exchange = {}});
    }
}

const board::QueuePlan& RabbitTopology::level(int level) const {
    assert(!topology_.levels.empty());
    const auto last = static_cast<int>(topology_.levels.size());
    return topology_.levels[static_cast<std::size_t>(std::clamp(level, 1, last) - 1)];
}

bool RabbitTopology::main_dead_letters() const {
    const bool planned = std::ranges::any_of(topology_.main.arguments,
                                             [](const auto& one) { return one.first == "x-dead-letter-exchange"; });
    return planned && !is_foreign(Role::main);
}

bool RabbitTopology::is_foreign(Role role) const {
    return std::ranges::any_of(items_, [role](const Item& item) { return item.role == role && item.foreign; });
}

void RabbitTopology::declare(std::move_only_function<void(Result<void>)> done) {
    waiting_.push_back(std::move(done));
    if (under_way_) {
        return;
    }
    timer_.stop();
    under_way_ = true;
    at_ = 0;
    result_ = {};
    next();
}

void RabbitTopology::again() {
    // A blocked connection is not read: nothing would be answered before the alarm ends.
    if (connection_.is_open() && !connection_.is_blocked()) {
        declare([](const auto&) {});
    } else {
        timer_.start(kEvery);
    }
}

void RabbitTopology::next() {
    if (at_ == items_.size()) {
        finish();
    } else if (channel_.is_open()) {
        declare_item();
    } else {
        channel_.open([this](const Result<amqp::Method>& opened) {
            if (opened) {
                declare_item();
            } else {
                result_ = std::unexpected(opened.error());
                finish();
            }
        });
    }
}

void RabbitTopology::declare_item() {
    const Item& item = items_[at_];
    const auto passive = item.foreign ? amqp::Passive::yes : amqp::Passive::no;
    const std::uint16_t number = channel_.number();
    channel_.call(item.role == Role::exchange
                      ? amqp::exchange_declare(number, item.exchange, passive)
                      : amqp::queue_declare(number, item.queue->name, passive, to_table(item.queue->arguments)),
                  [this](const Result<amqp::Method>& answer) { on_declared(answer); });
}

void RabbitTopology::on_declared(const Result<amqp::Method>& answer) {
    Item& item = items_[at_];
    if (!answer) {
        on_refused(answer.error());
        return;
    }
    if (item.foreign) {
        report(item, "used as it is");
    }
    if (const auto* queue = std::get_if<amqp::QueueDeclareOk>(&*answer); queue != nullptr && item.role == Role::main) {
        main_ready_ = queue->messages;
    }
    if (item.role == Role::exchange) {
        item_done(answer);
    } else {
        bind_item();
    }
}

/// The channel is closed now; next() opens another one.
void RabbitTopology::on_refused(const Error& error) {
    Item& item = items_[at_];
    last_problem_ = error.detail;
    if (item.role == Role::level && !item.replaced && is_code(error, "406")) {
        board::QueuePlan ours = board::fallback_level(*item.queue);
        report(item, "replaced by our own " + ours.name);
        *item.queue = std::move(ours);
        item.replaced = true;
        next();
    } else if (error.code == Errc::refused && !item.foreign) {
        item.foreign = true;
        next();
    } else if (is_code(error, "404") && item.foreign && item.reported) {
        // What stood in the way is gone.
        item.foreign = false;
        item.reported = false;
        metrics_.topology_mismatch(name_of(item), false);
        next();
    } else {
        item.foreign = item.foreign && item.reported;
        item_done(std::unexpected(error));
    }
}

void RabbitTopology::bind_item() {
    const board::QueuePlan& queue = *items_[at_].queue;
    channel_.call(amqp::queue_bind(channel_.number(), queue.name, queue.exchange, queue.routing_key),
                  [this](const Result<amqp::Method>& answer) { item_done(answer); });
}

void RabbitTopology::item_done(const Result<amqp::Method>& answer) {
    if (!answer && result_) {
        result_ = std::unexpected(answer.error());
        telemetry::log(Level::warn, "topology_incomplete",
                       {{"name", name_of(items_[at_])}, {"reason", answer.error().detail}});
    }
    if (!answer && answer.error().code != Errc::refused) {
        finish();
        return;
    }
    ++at_;
    next();
}

void RabbitTopology::report(Item& item, std::string_view what) {
    if (std::exchange(item.reported, true)) {
        return;
    }
    const std::string_view name = name_of(item);
    metrics_.topology_mismatch(name, true);
    telemetry::log(Level::error, "topology_mismatch", {{"name", name}, {"outcome", what}, {"reason", last_problem_}});
}

std::string_view RabbitTopology::name_of(const Item& item) const {
    return item.role == Role::exchange ? std::string_view(item.exchange) : std::string_view(item.queue->name);
}

void RabbitTopology::finish() {
    under_way_ = false;
    timer_.start(kEvery);
    for (auto& done : std::exchange(waiting_, {})) {
        done(result_);
    }
}

}  // namespace boardbus::transport

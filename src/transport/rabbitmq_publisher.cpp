// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_publisher.h"

#include <utility>

#include "base/fault.h"
#include "base/random.h"
#include "base/trace_context.h"
#include "board/lanes.h"

namespace boardbus::transport {
namespace {

using board::PublishOutcome;

// What the kernel has not taken stays in our own queue, where it can still be rejected honestly.
constexpr std::size_t kUnsentMax = 1U << 20;

telemetry::PublishStatus status_of(PublishOutcome outcome) {
    switch (outcome) {
        case PublishOutcome::accepted:
            return telemetry::PublishStatus::accepted;
        case PublishOutcome::rejected:
            return telemetry::PublishStatus::rejected;
        case PublishOutcome::unknown:
            break;
    }
    return telemetry::PublishStatus::unknown;
}

/// Each lane's topology keeps a channel, and one publishes: 65 with board::kLanesMax lanes. RabbitMQ allows 2,047 unless told otherwise.
AmqpOptions with_channels(AmqpOptions options, std::size_t lanes) {
    options.channels = static_cast<std::uint16_t>(lanes + 1);
    return options;
}

/// Spec: CONTRACT §2.
amqp::Properties properties_of(const board::Publication& publication) {
    amqp::Properties properties;
    properties.content_type = "application/json";
    properties.delivery_mode = 2;
    properties.message_id = publication.event_id;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(publication.published_at.time_since_epoch());
    properties.timestamp = static_cast<std::uint64_t>(seconds.count());
    properties.headers = {
        {"correlation_id", publication.correlation_id},
        {"idempotency_key", publication.correlation_id},
        {"traceparent", publication.traceparent.empty() ? new_traceparent() : publication.traceparent}};
    return properties;
}

}  // namespace

RabbitPublisher::RabbitPublisher(Loop& loop, telemetry::Metrics& metrics, RabbitPublisherOptions options,
                                 std::function<void(bool open)> on_state)
    : loop_(loop),
      metrics_(metrics),
      timeout_(options.timeout),
      window_(options.window),
      queue_bytes_max_(options.queue_bytes),
      on_state_(std::move(on_state)),
      connection_(loop, *this, with_channels(std::move(options.connection), options.lanes.size())),
      channel_(loop, connection_, [this](bool open) { on_channel_state(open); }),
      backoff_(std::chrono::milliseconds(100), std::chrono::milliseconds(5000)),
      reopen_(loop, [this] { open_channel(); }),
      deadline_(loop, [this] { expire(); }) {
    for (board::Topology& lane : options.lanes) {
        lanes_.push_back(std::make_unique<RabbitTopology>(loop, connection_, metrics, std::move(lane)));
    }
    loop_.add_turn_end(*this);
}

RabbitPublisher::~RabbitPublisher() {
    loop_.remove_turn_end(*this);
}

void RabbitPublisher::start() {
    connection_.start();
}

void RabbitPublisher::stop(Task done) {
    stopping_ = true;
    stopped_ = std::move(done);
    finish_stop_if_idle();
}

void RabbitPublisher::finish_stop_if_idle() {
    if (stopping_ && stopped_ && waiting_.empty() && sent_.empty()) {
        reopen_.stop();
        connection_.stop([this, done = std::exchange(stopped_, {})]() mutable {
            set_open(false);
            done();
        });
    }
}

void RabbitPublisher::publish(board::Publication publication, board::PublishDone done) {
    const Instant now = loop_.now();
    if (!open_ || stopping_) {
        answer(done, now, PublishOutcome::rejected, stopping_ ? "stopping" : "not connected");
        return;
    }
    // One alone always fits: told to come back later, it would be told so for ever.
    if (!waiting_.empty() && waiting_bytes_ + publication.body.size() > queue_bytes_max_) {
        answer(done, now, PublishOutcome::rejected, "overloaded");
        return;
    }
    waiting_bytes_ += publication.body.size();
    waiting_.push_back({std::move(publication), std::move(done), now});
    pump();
}

void RabbitPublisher::pump() {
    while (open_ && !waiting_.empty() && !connection_.is_blocked() && channel_.unconfirmed() < window_ &&
           connection_.unsent() < kUnsentMax) {
        Waiting next = std::move(waiting_.front());
        waiting_.pop_front();
        waiting_bytes_ -= next.publication.body.size();
        send(std::move(next));
    }
    metrics_.confirms_in_flight(channel_.unconfirmed());
    metrics_.publish_queue_bytes(waiting_bytes_);
    watch_deadline();
}

void RabbitPublisher::send(Waiting waiting) {
    fault::point("app.before_publish", waiting.publication.event_id);
    const std::uint64_t id = next_id_++;
    sent_.emplace(id, Sent{std::move(waiting.done), waiting.since});
    amqp::Properties properties = properties_of(waiting.publication);
    const board::QueuePlan& main = lanes_[board::lane_of(waiting.publication.board_id, lanes_.size())]->names().main;
    channel_.publish({main.exchange, main.routing_key, std::move(properties), std::move(waiting.publication.body)},
                     [this, id](Confirm confirm, std::string_view reason) { on_confirm(id, confirm, reason); });
    ++written_;
}

void RabbitPublisher::on_turn_end() {
    // "After publish" means that the kernel has it; before that a crash is as good as one before the publish.
    if (written_ > 0 && connection_.unsent() == 0) {
        for (; written_ > 0; --written_) {
            fault::point("app.after_publish");
        }
    }
    if (!waiting_.empty()) {
        pump();
    }
}

void RabbitPublisher::on_confirm(std::uint64_t id, Confirm confirm, std::string_view reason) {
    if (confirm == Confirm::returned) {
        // No queue is bound: somebody removed what we declared.
        for (const auto& lane : lanes_) {
            lane->declare([](const auto&) {});
        }
    }
    if (confirm == Confirm::confirmed) {
        fault::point("app.after_confirm");
        backoff_.reset();
    }
    const auto found = sent_.find(id);
    if (found != sent_.end()) {
        Sent sent = std::move(found->second);
        sent_.erase(found);
        const auto outcome = confirm == Confirm::confirmed ? PublishOutcome::accepted
                             : confirm == Confirm::lost    ? PublishOutcome::unknown
                                                           : PublishOutcome::rejected;
        answer(sent.done, sent.since, outcome, reason);
    }
    pump();
    finish_stop_if_idle();
}

void RabbitPublisher::answer(board::PublishDone& done, Instant since, PublishOutcome outcome, std::string_view reason) {
    metrics_.published(status_of(outcome), loop_.now() - since);
    done({outcome, std::string(reason)});
}

/// All deadlines have the same length, so the oldest is due first in both lists.
void RabbitPublisher::watch_deadline() {
    if (deadline_.running() || (waiting_.empty() && sent_.empty())) {
        return;
    }
    Instant oldest = Instant::max();
    if (!waiting_.empty()) {
        oldest = waiting_.front().since;
    }
    if (!sent_.empty()) {
        oldest = std::min(oldest, sent_.begin()->second.since);
    }
    deadline_.start(oldest + timeout_ - loop_.now());
}

void RabbitPublisher::expire() {
    const Instant due = loop_.now() - timeout_;
    while (!sent_.empty() && sent_.begin()->second.since <= due) {
        Sent sent = std::move(sent_.begin()->second);
        sent_.erase(sent_.begin());
        answer(sent.done, sent.since, PublishOutcome::unknown, "no confirm in time");
    }
    while (!waiting_.empty() && waiting_.front().since <= due) {
        Waiting waiting = std::move(waiting_.front());
        waiting_.pop_front();
        waiting_bytes_ -= waiting.publication.body.size();
        answer(waiting.done, waiting.since, PublishOutcome::rejected,
               connection_.is_blocked() ? "overloaded: RabbitMQ is out of memory or disk" : "overloaded");
    }
    pump();
    finish_stop_if_idle();
}

void RabbitPublisher::reject_waiting(std::string_view reason) {
    auto waiting = std::exchange(waiting_, {});
    waiting_bytes_ = 0;
    for (Waiting& one : waiting) {
        answer(one.done, one.since, PublishOutcome::rejected, reason);
    }
}

void RabbitPublisher::on_connected() {
    metrics_.connected(telemetry::Peer::rabbitmq, true);
    open_channel();
}

/// The topology first: without its queue every publication would come back. What of it failed has been said there.
void RabbitPublisher::open_channel() {
    declare(0);
}

void RabbitPublisher::declare(std::size_t lane) {
    if (lane < lanes_.size()) {
        lanes_[lane]->declare([this, lane](const Result<void>&) { declare(lane + 1); });
    } else if (connection_.is_open() && !channel_.is_open()) {
        channel_.open();
    }
}

void RabbitPublisher::on_channel_state(bool open) {
    set_open(open);
    if (!open && connection_.is_open()) {
        reopen_.start(backoff_.next(random_unit()));
    }
}

void RabbitPublisher::on_disconnected(const Error& /*error*/) {
    metrics_.connected(telemetry::Peer::rabbitmq, false);
    reopen_.stop();
    set_open(false);
    finish_stop_if_idle();
}

void RabbitPublisher::on_blocked(bool blocked) {
    metrics_.publisher_blocked(blocked);
    if (!blocked) {
        pump();
    }
}

void RabbitPublisher::set_open(bool open) {
    if (open == open_) {
        return;
    }
    open_ = open;
    written_ = 0;
    if (!open) {
        reject_waiting("not connected");
    }
    on_state_(open);
}

}  // namespace boardbus::transport

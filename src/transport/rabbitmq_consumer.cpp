// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_consumer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/fault.h"
#include "base/random.h"
#include "telemetry/log.h"
#include "transport/rabbitmq_copy.h"

namespace boardbus::transport {
namespace {

using telemetry::Level;

constexpr std::chrono::seconds kHeartbeatMax{5};
constexpr std::chrono::seconds kLeaveTimeout{5};
// An ack is an entry in a quorum queue's log, which the publishes behind it wait for, and nobody waits for an ack: so they go together, when
// there are this many or this long after the first (2,000 events/s: p50 from post to reader fell from 1.2 to 0.9 ms). Of a worker that
// dies meanwhile as many deliveries return, and are found to be duplicates. Not so when one has been copied, nor on a classic queue, which
// became slower (0.60 to 0.74 ms): then the acks of a turn go at its end.
constexpr std::size_t kAcksMost = 64;
constexpr std::chrono::milliseconds kAckDelay{20};
// Twice this long without a delivery, though messages wait, and the consumer queues up anew. For a standby that changes nothing.
constexpr std::chrono::seconds kSilence{10};

AmqpOptions consuming(AmqpOptions options) {
    options.heartbeat = std::min(options.heartbeat, kHeartbeatMax);
    options.name += " consume";
    return options;
}

std::size_t acks_most(const RabbitConsumerOptions& options) {
    const bool together = options.topology.queue_type == board::QueueType::quorum;
    return together ? std::clamp<std::size_t>(options.prefetch / 4, 1, kAcksMost) : 1;
}

std::optional<TraceContext> trace_of(const amqp::Properties& properties) {
    const amqp::Value* traceparent = amqp::find_field(properties.headers, "traceparent");
    return traceparent == nullptr ? std::nullopt : parse_traceparent(traceparent->as_text());
}

AmqpOptions copying(AmqpOptions options) {
    options.name += " copy";
    return options;
}

}  // namespace

RabbitConsumer::RabbitConsumer(Loop& loop, telemetry::Metrics& metrics, RabbitConsumerOptions options,
                               std::function<void(bool open)> on_state)
    : loop_(loop),
      metrics_(metrics),
      prefetch_(options.prefetch),
      acks_most_(acks_most(options)),
      dlq_watch_(options.dlq_watch),
      traceparents_(options.traceparents),
      on_state_(std::move(on_state)),
      connection_(loop, *this, consuming(options.connection)),
      topology_(loop, connection_, metrics, std::move(options.topology)),
      channel_(loop, connection_, *this),
      handover_(loop, metrics, copying(options.connection), topology_, [this](std::uint64_t tag) { on_copied(tag); }),
      watcher_(loop, connection_, metrics, topology_),
      backoff_(std::chrono::milliseconds(200), std::chrono::milliseconds(5000)),
      again_(loop, [this] { begin(); }),
      ack_(loop, [this] { flush_acks(); }),
      leave_deadline_(loop, [this] { leave_if_idle(); }),
      silence_(loop, [this] { watch_silence(); }) {
    loop_.add_turn_end(*this);
}

RabbitConsumer::~RabbitConsumer() {
    loop_.remove_turn_end(*this);
}

void RabbitConsumer::connect() {
    connection_.start();
    silence_.start(kSilence);
    handover_.start();
    if (dlq_watch_ == DlqWatch::yes) {
        watcher_.start();
    }
}

void RabbitConsumer::start(board::DeliverySink& sink) {
    sink_ = &sink;
    informed_ = &sink;
    begin();
}

void RabbitConsumer::on_connected() {
    metrics_.connected(telemetry::Peer::rabbitmq, true);
    topology_.declare([](const auto&) {});
    begin();
}

void RabbitConsumer::on_disconnected(const Error& /*error*/) {
    metrics_.connected(telemetry::Peer::rabbitmq, false);
    again_.stop();
}

/// The topology first, consumers last, as RabbitMQ advises. What of the topology fails has been said there.
void RabbitConsumer::begin() {
    if (phase_ != Phase::closed || sink_ == nullptr || again_.running() || !connection_.is_open()) {
        return;
    }
    set_phase(Phase::opening);
    topology_.declare([this](const Result<void>&) {
        if (phase_ == Phase::leaving) {
            end_deliveries(Then::begin);
            return;
        }
        channel_.open([this](const Result<amqp::Method>& opened) {
            if (!opened) {
                end_deliveries(phase_ == Phase::leaving ? Then::begin : Then::wait);
            } else if (phase_ == Phase::leaving) {
                close(Then::begin);
            } else {
                consume();
            }
        });
    });
}

void RabbitConsumer::consume() {
    const std::uint16_t number = channel_.number();
    channel_.call(amqp::qos(number, prefetch_), [](const auto&) {});
    channel_.call(amqp::consume(number, topology_.names().main.name, "boardbus"),
                  [this](const Result<amqp::Method>& consuming) {
                      if (consuming && phase_ == Phase::opening) {
                          backoff_.reset();
                          set_phase(Phase::consuming);
                      }
                  });
}

void RabbitConsumer::on_channel_lost(const Error& error) {
    if (connection_.is_open()) {
        telemetry::log(Level::warn, "consumer_lost",
                       {{"queue", topology_.names().main.name}, {"reason", error.detail}});
    }
    end_deliveries(phase_ == Phase::leaving ? Then::begin : Then::wait);
}

void RabbitConsumer::on_cancelled() {
    telemetry::log(Level::warn, "consumer_lost",
                   {{"queue", topology_.names().main.name}, {"reason", "cancelled: the queue is gone"}});
    close(Then::wait);
}

void RabbitConsumer::on_message(AmqpMessage message) {
    const auto* deliver = std::get_if<amqp::Deliver>(&message.method);
    if (deliver == nullptr || base_ + deliver->tag != last_ + 1) {
        connection_.drop({Errc::invalid, "a delivery out of turn"});
        return;
    }
    ++last_;
    outstanding_.push_back({.tag = last_, .properties = {}, .body = {}});
    // While leaving nothing is handed out; what comes now returns to the queue with the channel.
    if (phase_ != Phase::opening && phase_ != Phase::consuming) {
        return;
    }
    if (message.oversized) {
        refuse_oversized();
        return;
    }
    Outstanding& kept = outstanding_.back();
    batch_.push_back({.tag = last_,
                      .body = message.body,
                      .message_id = message.properties.message_id.value_or(""),
                      .retry_count = retry_count_of(message.properties),
                      .redelivered = deliver->redelivered,
                      .trace = traceparents_ == Traceparents::read ? trace_of(message.properties) : std::nullopt});
    kept.properties = std::move(message.properties);
    kept.body = std::move(message.body);
}

/// It cannot be copied, but the broker can move it. Where the queue has no dead-letter route that would destroy it: then it is held,
/// at the price of one place in the prefetch.
void RabbitConsumer::refuse_oversized() {
    if (topology_.main_dead_letters()) {
        outstanding_.pop_back();
        channel_.send(amqp::reject(channel_.number(), last_ - base_));
        return;
    }
    outstanding_.back().state = Outstanding::State::held;
    telemetry::log(Level::error, "oversized_message_held",
                   {{"queue", topology_.names().main.name}, {"limit", static_cast<std::int64_t>(kBodyMax)}});
}

void RabbitConsumer::on_read_end() {
    if (batch_.empty()) {
        return;
    }
    auto batch = std::exchange(batch_, {});
    for (const board::Delivery& delivery : batch) {
        fault::point("worker.after_delivery", delivery.message_id);
    }
    if (sink_ != nullptr) {
        sink_->on_deliveries(std::move(batch));
    }
}

RabbitConsumer::Outstanding* RabbitConsumer::find(std::uint64_t tag) {
    if (outstanding_.empty() || tag < outstanding_.front().tag) {
        return nullptr;
    }
    // Where it is when there is no gap before it; otherwise it is nearer to the front.
    const std::uint64_t at = tag - outstanding_.front().tag;
    if (at < outstanding_.size() && outstanding_[at].tag == tag) {
        return &outstanding_[at];
    }
    const auto found = std::ranges::lower_bound(outstanding_, tag, {}, &Outstanding::tag);
    return found == outstanding_.end() || found->tag != tag ? nullptr : &*found;
}

void RabbitConsumer::settle(std::uint64_t tag, board::Verdict verdict) {
    Outstanding* one = find(tag);
    if (one == nullptr || one->state != Outstanding::State::handed) {
        return;
    }
    if (verdict.kind == board::Verdict::Kind::ack) {
        let_go(tag);
        return;
    }
    one->state = Outstanding::State::copying;
    handover_.send(tag, std::move(verdict), one->properties, std::move(one->body));
}

void RabbitConsumer::on_copied(std::uint64_t tag) {
    // In this turn: whoever died later would leave the copy, and the original to be copied once more.
    acks_due_ = std::max(acks_due_, acks_most_);
    let_go(tag);
    if (sink_ != nullptr) {
        sink_->on_copied(tag);
    }
}

/// The delivery may be acked, and soon is.
void RabbitConsumer::let_go(std::uint64_t tag) {
    if (Outstanding* one = find(tag)) {
        one->state = Outstanding::State::done;
        ++acks_due_;
    }
    leave_if_idle();
}

void RabbitConsumer::on_turn_end() {
    if (acks_due_ >= acks_most_) {
        flush_acks();
    } else if (acks_due_ > 0 && !ack_.running()) {
        ack_.start(kAckDelay);
    }
}

/// One `multiple` ack for all that is done at the front; what is done behind something unfinished, one by one.
void RabbitConsumer::flush_acks() {
    using State = Outstanding::State;
    acks_due_ = 0;
    ack_.stop();
    if (!channel_.is_open()) {
        return;
    }
    std::string frames;
    const auto ack = [&](std::uint64_t tag, amqp::Multiple multiple) {
        frames += amqp::ack(channel_.number(), tag - base_, multiple);
    };
    std::uint64_t done = 0;
    std::uint64_t last_done = 0;
    while (!outstanding_.empty() && outstanding_.front().state == State::done) {
        fault::point("worker.before_ack", outstanding_.front().properties.message_id.value_or(""));
        ++done;
        last_done = outstanding_.front().tag;
        outstanding_.pop_front();
    }
    if (done > 0) {
        ack(last_done, done > 1 ? amqp::Multiple::yes : amqp::Multiple::no);
    }
    const std::size_t sent = frames.size();
    for (const Outstanding& one : outstanding_) {
        if (one.state == State::done) {
            fault::point("worker.before_ack", one.properties.message_id.value_or(""));
            ack(one.tag, amqp::Multiple::no);
        }
    }
    if (frames.size() > sent) {
        // From the back, because what is unfinished in front of them is little, and only that moves.
        const auto kept = std::remove_if(outstanding_.rbegin(), outstanding_.rend(),
                                         [](const Outstanding& one) { return one.state == State::done; });
        outstanding_.erase(outstanding_.begin(), kept.base());
    }
    if (!frames.empty()) {
        channel_.send(frames);
    }
}

void RabbitConsumer::release() {
    sink_ = nullptr;
    again_.stop();
    if (phase_ == Phase::closed) {
        end_deliveries(Then::begin);
    } else if (phase_ != Phase::closing) {
        set_phase(Phase::leaving);
        leave_deadline_.start(kLeaveTimeout);
        leave_if_idle();
    }
}

void RabbitConsumer::stop(Task done) {
    stopped_ = std::move(done);
    release();
}

/// Copies under way are waited for: their originals would come back as duplicates.
void RabbitConsumer::leave_if_idle() {
    if (phase_ == Phase::leaving && channel_.is_open() && (handover_.idle() || !leave_deadline_.running())) {
        close(Then::begin);
    }
}

void RabbitConsumer::close(Then then) {
    flush_acks();
    set_phase(Phase::closing);
    // The answer also proves that the broker has read our acks.
    channel_.close([this, then] { end_deliveries(then); });
}

/// The channel is closed: whatever was in hand is void.
void RabbitConsumer::end_deliveries(Then then) {
    set_phase(Phase::closed);
    leave_deadline_.stop();
    acks_due_ = 0;
    ack_.stop();
    if (then == Then::wait && connection_.is_open()) {
        again_.start(backoff_.next(random_unit()));
    }
    base_ = last_;
    outstanding_.clear();
    batch_.clear();
    handover_.reset();
    if (board::DeliverySink* informed = std::exchange(informed_, sink_)) {
        informed->on_source_reset();
    }
    if (stopped_) {
        watcher_.stop();
        connection_.stop([this] { handover_.stop(std::exchange(stopped_, {})); });
    } else {
        begin();
    }
}

/// A main queue that is deleted and declared again at once, before RabbitMQ (3.10) has told our channel, keeps a consumer of ours on its
/// list and hands it nothing.
void RabbitConsumer::watch_silence() {
    silence_.start(kSilence);
    const bool quiet = std::exchange(seen_, last_) == last_ && outstanding_.empty();
    if (!quiet || phase_ != Phase::consuming || connection_.is_blocked()) {
        unserved_ = false;
        return;
    }
    topology_.declare([this](const Result<void>&) { on_silence(); });
}

void RabbitConsumer::on_silence() {
    const bool unserved = phase_ == Phase::consuming && outstanding_.empty() && topology_.main_ready() > 0;
    if (!std::exchange(unserved_, unserved) || !unserved) {
        return;
    }
    unserved_ = false;
    telemetry::log(Level::warn, "consumer_lost",
                   {{"queue", topology_.names().main.name}, {"reason", "messages wait and none is handed out"}});
    close(Then::begin);
}

void RabbitConsumer::set_phase(Phase phase) {
    const bool was_open = is_open();
    phase_ = phase;
    if (was_open != is_open()) {
        on_state_(is_open());
    }
}

}  // namespace boardbus::transport

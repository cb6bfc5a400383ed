// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_connection.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/random.h"
#include "telemetry/log.h"
#include "transport/amqp_channel.h"

namespace boardbus::transport {
namespace {

using telemetry::Level;

constexpr std::chrono::seconds kCloseTimeout{2};

// A connection that lasted this long was a good one; after a shorter one the waits go on growing, so that a broker which takes us and
// throws us out again is not hammered.
constexpr std::chrono::seconds kLasting{5};

std::string text_of(const Endpoint& endpoint) {
    return endpoint.host + ':' + std::to_string(endpoint.port);
}

amqp::Table client_properties(const std::string& name) {
    // Without the last two capabilities RabbitMQ neither tells that it is blocked nor that a consumer's queue is gone.
    amqp::Table capabilities{{"publisher_confirms", true},
                             {"basic.nack", true},
                             {"authentication_failure_close", true},
                             {"connection.blocked", true},
                             {"consumer_cancel_notify", true}};
    return {{"product", "boardbus"}, {"connection_name", name}, {"capabilities", std::move(capabilities)}};
}

}  // namespace

AmqpConnection::AmqpConnection(Loop& loop, AmqpConnectionOwner& owner, AmqpOptions options)
    : loop_(loop),
      owner_(owner),
      options_(std::move(options)),
      stream_(loop, *this, options_.tls),
      channels_(std::size_t{1} + options_.channels + kChannelsClosing),
      slots_(channels_.size()),
      backoff_(options_.reconnect_initial, options_.reconnect_max),
      reconnect_(loop, [this] { connect(); }),
      heartbeat_timer_(loop, [this] { tick(); }),
      deadline_(loop, [this] {
          if (state_ == State::closing) {
              finish_stop();
          } else {
              drop({Errc::timeout, "no AMQP handshake in time"});
          }
      }) {
    assert(!options_.brokers.empty());
}

void AmqpConnection::start() {
    if (state_ == State::idle) {
        connect();
    }
}

void AmqpConnection::connect() {
    state_ = State::connecting;
    ++generation_;
    ++tried_;
    reader_ = {};
    std::ranges::fill(slots_, Slot::free);
    stream_.close();
    stream_.open(options_.brokers[broker_].endpoint, options_.connect_timeout);
}

void AmqpConnection::stop(Task done) {
    reconnect_.stop();
    stopped_ = std::move(done);
    if (state_ != State::open) {
        finish_stop();
        return;
    }
    state_ = State::closing;
    send(amqp::connection_close());
    deadline_.start(kCloseTimeout);
}

void AmqpConnection::finish_stop() {
    ++generation_;
    state_ = State::idle;
    deadline_.stop();
    heartbeat_timer_.stop();
    stream_.close();
    end_channels({Errc::closed, "stopped"});
    if (auto done = std::exchange(stopped_, {})) {
        done();
    }
}

void AmqpConnection::end_channels(const Error& error) {
    for (AmqpChannel*& slot : channels_) {
        if (AmqpChannel* channel = std::exchange(slot, nullptr)) {
            channel->on_lost(error);
        }
    }
}

void AmqpConnection::on_open() {
    state_ = State::handshake;
    last_received_ = loop_.now();
    deadline_.start(options_.connect_timeout);
    send(amqp::kProtocolHeader);
}

void AmqpConnection::on_closed(const Error& error) {
    if (state_ == State::closing) {
        finish_stop();
    } else if (state_ != State::waiting && state_ != State::idle) {
        lose(error);
    }
}

void AmqpConnection::drop(Error error) {
    if (state_ == State::connecting || state_ == State::handshake || state_ == State::open) {
        stream_.close();
        lose(error);
    }
}

void AmqpConnection::on_bytes(std::string_view bytes) {
    if (state_ == State::waiting || state_ == State::idle) {
        return;
    }
    last_received_ = loop_.now();
    reader_.feed(bytes);
    const std::uint64_t generation = generation_;
    while (generation == generation_) {
        const auto frame = reader_.next();
        if (!frame) {
            drop(frame.error());
            return;
        }
        if (!*frame) {
            break;
        }
        on_frame(**frame);
    }
    // By index: what a channel does with its input may open or close others.
    for (std::size_t i = 1; i < channels_.size() && generation == generation_; ++i) {
        if (channels_[i] != nullptr) {
            channels_[i]->on_read_end();
        }
    }
}

void AmqpConnection::on_frame(const amqp::Frame& frame) {
    if (frame.type == amqp::FrameType::heartbeat) {
        return;
    }
    if (frame.channel == 0) {
        const auto method = amqp::decode_method(frame.payload);
        if (frame.type != amqp::FrameType::method || !method) {
            drop(method ? Error{Errc::invalid, "content on channel 0"} : method.error());
            return;
        }
        on_method(*method);
    } else if (state_ != State::open && state_ != State::closing) {
        drop({Errc::invalid, "a channel before the connection was open"});
    } else if (frame.channel < channels_.size() && channels_[frame.channel] != nullptr) {
        if (state_ == State::open) {
            channels_[frame.channel]->on_frame(frame);
        }
    } else {
        on_orphan_frame(frame);
    }
}

/// A channel whose object is gone finishes its close handshake here; a number that was never used is the broker's mistake.
void AmqpConnection::on_orphan_frame(const amqp::Frame& frame) {
    if (frame.channel >= slots_.size() || slots_[frame.channel] != Slot::closing) {
        drop({Errc::invalid, "a frame for channel " + std::to_string(frame.channel) + ", which is not open"});
        return;
    }
    if (frame.type != amqp::FrameType::method) {
        return;
    }
    const auto method = amqp::decode_method(frame.payload);
    if (method && std::holds_alternative<amqp::ChannelClose>(*method)) {
        send(amqp::channel_close_ok(frame.channel));
    } else if (method && std::holds_alternative<amqp::ChannelCloseOk>(*method)) {
        slots_[frame.channel] = Slot::free;
    }
}

void AmqpConnection::on_method(const amqp::Method& method) {
    if (const auto* close = std::get_if<amqp::ConnectionClose>(&method)) {
        // The stream stays open until the next attempt, so that this answer still leaves.
        send(amqp::connection_close_ok());
        if (state_ == State::closing) {
            finish_stop();
        } else {
            lose({Errc::refused, std::to_string(close->code) + ' ' + close->text});
        }
    } else if (const auto* start = std::get_if<amqp::ConnectionStart>(&method); start && state_ == State::handshake) {
        answer_start(*start);
    } else if (const auto* tune = std::get_if<amqp::ConnectionTune>(&method); tune && state_ == State::handshake) {
        answer_tune(*tune);
    } else if (std::holds_alternative<amqp::ConnectionOpenOk>(method) && state_ == State::handshake &&
               heartbeat_.count() > 0) {
        opened();
    } else if (std::holds_alternative<amqp::ConnectionCloseOk>(method) && state_ == State::closing) {
        finish_stop();
    } else if (const auto* blocked = std::get_if<amqp::ConnectionBlocked>(&method); blocked && state_ == State::open) {
        set_blocked(true, blocked->reason);
    } else if (std::holds_alternative<amqp::ConnectionUnblocked>(method) && state_ == State::open) {
        set_blocked(false, {});
    } else if (state_ != State::closing) {
        drop({Errc::invalid, "a method of channel 0 at the wrong time"});
    }
}

void AmqpConnection::answer_start(const amqp::ConnectionStart& start) {
    if (!std::string_view(start.mechanisms).contains("PLAIN")) {
        drop({Errc::refused, "the broker offers no PLAIN login: " + start.mechanisms});
        return;
    }
    heartbeat_ = {};
    send(amqp::start_ok(client_properties(options_.name), options_.brokers[broker_].user,
                        options_.brokers[broker_].password));
}

void AmqpConnection::answer_tune(const amqp::ConnectionTune& tune) {
    // 0 means "no limit" for the first two; for the heartbeat it means "none", which we do not accept: a dead peer must be noticed.
    const auto most = static_cast<std::uint16_t>(options_.channels + kChannelsClosing);
    channel_max_ = tune.channel_max == 0 ? most : std::min(tune.channel_max, most);
    if (channel_max_ < options_.channels) {
        drop({Errc::refused, "the broker allows " + std::to_string(channel_max_) +
                                 " channels on a connection (channel_max), needed are " +
                                 std::to_string(options_.channels)});
        return;
    }
    frame_max_ = tune.frame_max == 0 ? amqp::kFrameMax : std::clamp(tune.frame_max, 4096U, amqp::kFrameMax);
    heartbeat_ = options_.heartbeat;
    if (tune.heartbeat != 0) {
        heartbeat_ = std::min(heartbeat_, std::chrono::seconds(tune.heartbeat));
    }
    send(amqp::tune_ok({channel_max_, frame_max_, static_cast<std::uint16_t>(heartbeat_.count())}));
    send(amqp::connection_open(options_.brokers[broker_].vhost));
    heartbeat_timer_.start(std::chrono::milliseconds(heartbeat_) / 2);
}

void AmqpConnection::opened() {
    state_ = State::open;
    deadline_.stop();
    opened_at_ = loop_.now();
    last_failure_.clear();
    const std::string broker = text_of(options_.brokers[broker_].endpoint);
    telemetry::log(Level::info, "rabbitmq_connected", {{"connection", options_.name}, {"broker", broker}});
    owner_.on_connected();
}

void AmqpConnection::set_blocked(bool blocked, std::string_view reason) {
    if (blocked == blocked_) {
        return;
    }
    blocked_ = blocked;
    telemetry::log(Level::warn, blocked ? "rabbitmq_blocked" : "rabbitmq_unblocked",
                   {{"connection", options_.name}, {"reason", reason}});
    owner_.on_blocked(blocked);
}

/// Twice per heartbeat interval. Spec: AMQP 0-9-1 §4.2.7: silence for two intervals means that the peer is gone.
void AmqpConnection::tick() {
    heartbeat_timer_.start(std::chrono::milliseconds(heartbeat_) / 2);
    if (loop_.now() - last_received_ > 2 * heartbeat_) {
        drop({Errc::timeout, "no heartbeat for " + std::to_string(2 * heartbeat_.count()) + " s"});
        return;
    }
    if (!std::exchange(sent_since_tick_, false)) {
        stream_.write(amqp::heartbeat());
    }
}

void AmqpConnection::lose(const Error& error) {
    const bool lasted = state_ == State::open && loop_.now() - opened_at_ >= kLasting;
    ++generation_;
    state_ = State::waiting;
    deadline_.stop();
    heartbeat_timer_.stop();
    if (error.detail != last_failure_) {
        const std::string broker = text_of(options_.brokers[broker_].endpoint);
        telemetry::log(Level::warn, "rabbitmq_unavailable",
                       {{"connection", options_.name}, {"broker", broker}, {"reason", error.detail}});
        last_failure_ = error.detail;
    }
    if (lasted) {
        backoff_.reset();
        tried_ = 0;
    }
    broker_ = (broker_ + 1) % options_.brokers.size();
    std::chrono::milliseconds wait{};
    if (tried_ >= options_.brokers.size()) {
        tried_ = 0;
        wait = backoff_.next(random_unit());
    }
    reconnect_.start(wait);
    // To a channel a broker that goes away has refused nothing, whatever it said when it went.
    const bool was_blocked = std::exchange(blocked_, false);
    end_channels({error.code == Errc::refused ? Errc::unavailable : error.code, error.detail});
    // After the channels: nobody is to publish into one that is about to end.
    if (was_blocked) {
        owner_.on_blocked(false);
    }
    owner_.on_disconnected(error);
}

/// Whoever finds no number could only ask again for ever: a new connection has all of them free, and the loss is logged and seen.
std::uint16_t AmqpConnection::take_number(AmqpChannel& channel) {
    for (std::uint16_t number = 1; number <= channel_max_ && is_open(); ++number) {
        if (channels_[number] == nullptr && slots_[number] == Slot::free) {
            channels_[number] = &channel;
            slots_[number] = Slot::used;
            return number;
        }
    }
    drop({Errc::overloaded, "no channel number left of " + std::to_string(channel_max_)});
    return 0;
}

void AmqpConnection::return_number(std::uint16_t number, Slot becomes) {
    channels_[number] = nullptr;
    slots_[number] = becomes;
}

void AmqpConnection::send(std::string_view frames) {
    sent_since_tick_ = true;
    stream_.write(frames);
}

}  // namespace boardbus::transport

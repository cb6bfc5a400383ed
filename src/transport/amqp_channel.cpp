// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_channel.h"

#include <algorithm>
#include <cassert>
#include <type_traits>
#include <utility>

#include "telemetry/log.h"

namespace boardbus::transport {

AmqpChannel::AmqpChannel(Loop& loop, AmqpConnection& connection, AmqpChannelOwner& owner)
    : connection_(connection), owner_(owner), deadline_(loop, [this] { on_deadline(); }) {}

AmqpChannel::~AmqpChannel() {
    if (number_ == 0) {
        return;
    }
    if (state_ != State::closing) {
        send(amqp::channel_close(number_));
    }
    connection_.return_number(number_, AmqpConnection::Slot::closing);
}

void AmqpChannel::open(ReplyDone done) {
    if (state_ != State::closed || !connection_.is_open()) {
        done(fail(Errc::unavailable, "not connected"));
        return;
    }
    number_ = connection_.take_number(*this);
    if (number_ == 0) {
        done(fail(Errc::overloaded, "no channel number left"));
        return;
    }
    state_ = State::opening;
    expect_ = Expect::method;
    rpcs_.push_back({amqp::channel_open(number_), std::move(done)});
    send_next();
}

void AmqpChannel::close(Task done) {
    if (state_ == State::closed) {
        done();
        return;
    }
    assert(!closed_);
    closed_ = std::move(done);
    state_ = State::closing;
    // What was asked before is not waited for.
    auto rpcs = std::exchange(rpcs_, {});
    rpcs_.push_back({amqp::channel_close(number_), [](const auto&) {}});
    send_next();
    for (Rpc& rpc : rpcs) {
        rpc.done(fail(Errc::closed, "channel closed"));
    }
}

void AmqpChannel::call(std::string request, ReplyDone done) {
    if (state_ != State::open) {
        done(fail(Errc::closed, "channel not open"));
        return;
    }
    rpcs_.push_back({std::move(request), std::move(done)});
    if (rpcs_.size() == 1) {
        send_next();
    }
}

void AmqpChannel::send_next() {
    if (rpcs_.empty()) {
        deadline_.stop();
        return;
    }
    send(rpcs_.front().request);
    deadline_.start(connection_.options_.rpc_timeout);
}

void AmqpChannel::on_deadline() {
    if (connection_.is_blocked()) {
        // The broker does not read this connection until its alarm ends, and says so; whether it lives, the heartbeat tells.
        deadline_.start(connection_.options_.rpc_timeout);
    } else {
        connection_.drop({Errc::timeout, "no answer to a request in time"});
    }
}

void AmqpChannel::answer(amqp::Method method) {
    if (rpcs_.empty()) {
        connection_.drop({Errc::invalid, "an answer that nobody asked for"});
        return;
    }
    if (state_ == State::opening) {
        state_ = State::open;
    }
    ReplyDone done = std::move(rpcs_.front().done);
    rpcs_.pop_front();
    send_next();
    done(std::move(method));
}

/// After this the channel is closed and everybody who waited on it knows.
void AmqpChannel::end(const Error& error) {
    const State was = std::exchange(state_, State::closed);
    number_ = 0;
    deadline_.stop();
    message_ = {};
    for (Rpc& rpc : std::exchange(rpcs_, {})) {
        rpc.done(std::unexpected(error));
    }
    if (was == State::open) {
        owner_.on_channel_lost(error);
    }
    if (auto done = std::exchange(closed_, {})) {
        done();
    }
}

void AmqpChannel::on_lost(const Error& error) {
    end(error);
}

void AmqpChannel::on_closed_by_broker(const amqp::ChannelClose& close) {
    send(amqp::channel_close_ok(number_));
    connection_.return_number(number_, AmqpConnection::Slot::free);
    end({Errc::refused, std::to_string(close.code) + ' ' + close.text});
}

void AmqpChannel::on_read_end() {
    if (state_ == State::open) {
        owner_.on_read_end();
    }
}

void AmqpChannel::on_frame(const amqp::Frame& frame) {
    if (frame.type == amqp::FrameType::method) {
        auto method = amqp::decode_method(frame.payload);
        if (!method || expect_ != Expect::method) {
            connection_.drop(method ? Error{Errc::invalid, "a method inside a message"} : method.error());
            return;
        }
        on_method(std::move(*method));
    } else if (frame.type == amqp::FrameType::header && expect_ == Expect::header) {
        on_header(frame.payload);
    } else if (frame.type == amqp::FrameType::body && expect_ == Expect::body) {
        on_body(frame.payload);
    } else {
        connection_.drop({Errc::invalid, "content without its method or header"});
    }
}

void AmqpChannel::on_method(amqp::Method method) {
    std::visit(
        [this]<typename T>(T&& one) {
            using M = std::remove_cvref_t<T>;
            if constexpr (std::is_same_v<M, amqp::ChannelClose>) {
                on_closed_by_broker(one);
            } else if constexpr (std::is_same_v<M, amqp::ChannelCloseOk>) {
                connection_.return_number(number_, AmqpConnection::Slot::free);
                end({Errc::closed, "channel closed"});
            } else if constexpr (std::is_same_v<M, amqp::Deliver> || std::is_same_v<M, amqp::GetOk> ||
                                 std::is_same_v<M, amqp::Return>) {
                message_ = {std::forward<T>(one), {}, {}, false};
                expect_ = Expect::header;
            } else if constexpr (std::is_same_v<M, amqp::ChannelFlow>) {
                // No RabbitMQ of our century sends it; our windows are small enough to let what they hold go on.
                send(amqp::channel_flow_ok(number_, one.active));
            } else if constexpr (std::is_same_v<M, amqp::Ack> || std::is_same_v<M, amqp::Nack>) {
                if (state_ == State::open) {
                    owner_.on_confirm(one.tag, one.multiple ? amqp::Multiple::yes : amqp::Multiple::no,
                                      std::is_same_v<M, amqp::Nack>);
                }
            } else if constexpr (std::is_same_v<M, amqp::Cancel>) {
                if (state_ == State::open) {
                    owner_.on_cancelled();
                }
            } else if (state_ != State::closing) {
                answer(std::forward<T>(one));
            }
        },
        std::move(method));
}

void AmqpChannel::on_header(std::string_view payload) {
    auto header = amqp::decode_header(payload);
    if (!header) {
        connection_.drop(header.error());
        return;
    }
    if (header->headers_lost) {
        telemetry::log(telemetry::Level::warn, "message_headers_lost",
                       {{"message_id", header->properties.message_id.value_or("")}, {"reason", "not AMQP 0-9-1"}});
    }
    message_.properties = std::move(header->properties);
    message_.oversized = header->body_size > kBodyMax;
    body_missing_ = header->body_size;
    if (!message_.oversized) {
        message_.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(body_missing_, amqp::kFrameMax)));
    }
    expect_ = Expect::body;
    if (body_missing_ == 0) {
        complete_content();
    }
}

void AmqpChannel::on_body(std::string_view payload) {
    if (payload.size() > body_missing_) {
        connection_.drop({Errc::invalid, "a body longer than its header says"});
        return;
    }
    body_missing_ -= payload.size();
    if (!message_.oversized) {
        message_.body.append(payload);
    }
    if (body_missing_ == 0) {
        complete_content();
    }
}

void AmqpChannel::complete_content() {
    expect_ = Expect::method;
    AmqpMessage message = std::exchange(message_, {});
    if (state_ != State::open) {
        return;
    }
    const auto* got = std::get_if<amqp::GetOk>(&message.method);
    if (got == nullptr) {
        owner_.on_message(std::move(message));
        return;
    }
    // The message first, then the answer to the request that fetched it.
    amqp::GetOk reply = *got;
    owner_.on_message(std::move(message));
    if (state_ == State::open) {
        answer(std::move(reply));
    }
}

}  // namespace boardbus::transport

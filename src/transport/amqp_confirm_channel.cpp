// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_confirm_channel.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace boardbus::transport {
namespace {

std::uint64_t print_of(std::string_view exchange, std::string_view routing_key, const amqp::Properties& properties,
                       std::string_view body) {
    const std::hash<std::string_view> hash;
    std::uint64_t print = hash(exchange);
    for (const std::string_view part :
         {routing_key, properties.message_id ? std::string_view(*properties.message_id) : std::string_view(), body}) {
        print = print * 1099511628211U ^ hash(part);
    }
    return print;
}

}  // namespace

ConfirmChannel::ConfirmChannel(Loop& loop, AmqpConnection& connection, OnState on_state)
    : connection_(connection), on_state_(std::move(on_state)), channel_(loop, connection, *this) {}

void ConfirmChannel::open() {
    channel_.open([this](Result<amqp::Method> opened) {
        if (!opened) {
            on_state_(false);
            return;
        }
        channel_.call(amqp::confirm_select(channel_.number()), [this](Result<amqp::Method> selected) {
            if (!selected) {
                return;  // on_channel_lost() has told or will tell.
            }
            first_tag_ = 1;
            ready_ = true;
            on_state_(true);
        });
    });
}

void ConfirmChannel::publish(const OutgoingMessage& message, ConfirmDone done) {
    if (!ready_) {
        done(Confirm::lost, "not connected");
        return;
    }
    pending_.push_back({print_of(message.exchange, message.routing_key, message.properties, message.body),
                        false,
                        {},
                        std::move(done)});
    ++unconfirmed_;
    frames_.clear();
    amqp::publish(frames_, channel_.number(), channel_.frame_max(), message.exchange, message.routing_key,
                  message.properties, message.body);
    channel_.send(frames_);
}

/// A return. It names no delivery tag; equal messages are interchangeable, since what sent one of them back is true of all.
void ConfirmChannel::on_message(AmqpMessage message) {
    const auto* returned = std::get_if<amqp::Return>(&message.method);
    if (returned == nullptr) {
        connection_.drop({Errc::invalid, "a delivery on a publishing channel"});
        return;
    }
    const std::uint64_t print = print_of(returned->exchange, returned->routing_key, message.properties, message.body);
    const auto pending = std::ranges::find_if(
        pending_, [&](const Pending& one) { return one.done && !one.returned && one.print == print; });
    if (pending == pending_.end()) {
        // Whose it is cannot be told, so no confirm that follows can be believed.
        connection_.drop({Errc::invalid, "a return of a message that was not published"});
        return;
    }
    pending->returned = true;
    pending->reason = std::to_string(returned->code) + ' ' + returned->text;
}

void ConfirmChannel::on_confirm(std::uint64_t tag, amqp::Multiple multiple, bool refused) {
    const std::uint64_t last = first_tag_ + pending_.size() - 1;
    if (multiple == amqp::Multiple::yes && tag == 0) {
        tag = last;  // Spec: AMQP 0-9-1, basic.ack: zero means all.
    }
    if (tag > last) {
        connection_.drop({Errc::invalid, "a confirm of a message that was not published"});
        return;
    }
    std::vector<Pending> answered;
    const std::uint64_t from = multiple == amqp::Multiple::yes ? first_tag_ : std::max(tag, first_tag_);
    for (std::uint64_t one = from; one <= tag; ++one) {
        Pending& pending = pending_[static_cast<std::size_t>(one - first_tag_)];
        if (pending.done) {
            answered.push_back(std::exchange(pending, {}));
        }
    }
    while (!pending_.empty() && !pending_.front().done) {
        pending_.pop_front();
        ++first_tag_;
    }
    unconfirmed_ -= answered.size();
    // Last: an answer may publish again.
    for (Pending& pending : answered) {
        if (pending.returned) {
            pending.done(Confirm::returned, pending.reason);
        } else {
            pending.done(refused ? Confirm::refused : Confirm::confirmed, refused ? "refused by the queue" : "");
        }
    }
}

void ConfirmChannel::on_channel_lost(const Error& error) {
    ready_ = false;
    auto lost = std::exchange(pending_, {});
    unconfirmed_ = 0;
    on_state_(false);
    for (Pending& pending : lost) {
        if (pending.done) {
            pending.done(Confirm::lost, error.detail);
        }
    }
}

}  // namespace boardbus::transport

// What a broker says to a client, decoded into one variant.
//
// Only what can come as an answer to our own requests, and what a broker says unasked. Socket-free. Spec: AMQP 0-9-1 and RabbitMQ's
// extensions (publisher confirms, basic.nack, connection.blocked, basic.cancel from the broker).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "transport/amqp_value.h"

namespace boardbus::transport::amqp {

/// A method's number on the wire: class << 16 | method, as the specification numbers them.
constexpr std::uint32_t method_id(std::uint32_t class_id, std::uint32_t number) {
    return class_id << 16 | number;
}

struct ConnectionStart {
    std::string mechanisms;
    Table server_properties;
};
struct ConnectionTune {
    std::uint16_t channel_max;
    std::uint32_t frame_max;
    std::uint16_t heartbeat;
};
struct ConnectionOpenOk {};
struct ConnectionClose {
    std::uint16_t code;
    std::string text;
};
struct ConnectionCloseOk {};
struct ConnectionBlocked {
    std::string reason;
};
struct ConnectionUnblocked {};
struct ChannelOpenOk {};
struct ChannelFlow {
    bool active;
};
struct ChannelClose {
    std::uint16_t code;
    std::string text;
};
struct ChannelCloseOk {};
struct ExchangeDeclareOk {};
struct QueueDeclareOk {
    std::string queue;
    std::uint32_t messages;
    std::uint32_t consumers;
};
struct QueueBindOk {};
struct QueuePurgeOk {
    std::uint32_t messages;
};
struct QosOk {};
struct ConsumeOk {
    std::string consumer_tag;
};
struct Cancel {
    std::string consumer_tag;
};
struct Return {
    std::uint16_t code;
    std::string text;
    std::string exchange;
    std::string routing_key;
};
struct Deliver {
    std::string consumer_tag;
    std::uint64_t tag;
    bool redelivered;
    std::string exchange;
    std::string routing_key;
};
struct GetOk {
    std::uint64_t tag;
    bool redelivered;
    std::string exchange;
    std::string routing_key;
    std::uint32_t messages;
};
struct GetEmpty {};
struct Ack {
    std::uint64_t tag;
    bool multiple;
};
struct Nack {
    std::uint64_t tag;
    bool multiple;
};
struct ConfirmSelectOk {};

using Method = std::variant<ConnectionStart, ConnectionTune, ConnectionOpenOk, ConnectionClose, ConnectionCloseOk,
                            ConnectionBlocked, ConnectionUnblocked, ChannelOpenOk, ChannelFlow, ChannelClose,
                            ChannelCloseOk, ExchangeDeclareOk, QueueDeclareOk, QueueBindOk, QueuePurgeOk, QosOk,
                            ConsumeOk, Cancel, Return, Deliver, GetOk, GetEmpty, Ack, Nack, ConfirmSelectOk>;

/// Errors: invalid (broken, or a method that no broker sends to a client that asked for what we ask for).
Result<Method> decode_method(std::string_view payload);

}  // namespace boardbus::transport::amqp

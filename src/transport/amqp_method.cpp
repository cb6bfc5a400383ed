// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_method.h"

#include <optional>
#include <utility>

namespace boardbus::transport::amqp {
namespace {

ConnectionStart read_start(Reader& in) {
    in.u16();  // Version 0-9, or the broker would have answered with its own protocol header.
    ConnectionStart start;
    start.server_properties = in.table();
    start.mechanisms = in.long_string();
    return start;
}

ConnectionTune read_tune(Reader& in) {
    const std::uint16_t channel_max = in.u16();
    const std::uint32_t frame_max = in.u32();
    return {channel_max, frame_max, in.u16()};
}

template <typename T>
T read_close(Reader& in) {
    const std::uint16_t code = in.u16();
    return {code, in.short_string()};
}

QueueDeclareOk read_queue_declare_ok(Reader& in) {
    std::string queue = in.short_string();
    const std::uint32_t messages = in.u32();
    return {std::move(queue), messages, in.u32()};
}

Return read_return(Reader& in) {
    const std::uint16_t code = in.u16();
    std::string text = in.short_string();
    std::string exchange = in.short_string();
    return {code, std::move(text), std::move(exchange), in.short_string()};
}

Deliver read_deliver(Reader& in) {
    std::string consumer_tag = in.short_string();
    const std::uint64_t tag = in.u64();
    const bool redelivered = (in.u8() & 1) != 0;
    std::string exchange = in.short_string();
    return {std::move(consumer_tag), tag, redelivered, std::move(exchange), in.short_string()};
}

GetOk read_get_ok(Reader& in) {
    const std::uint64_t tag = in.u64();
    const bool redelivered = (in.u8() & 1) != 0;
    std::string exchange = in.short_string();
    std::string routing_key = in.short_string();
    return {tag, redelivered, std::move(exchange), std::move(routing_key), in.u32()};
}

template <typename T>
T read_confirm(Reader& in) {
    const std::uint64_t tag = in.u64();
    return {tag, (in.u8() & 1) != 0};
}

std::optional<Method> read_method(std::uint32_t method, Reader& in) {
    switch (method) {
        case method_id(10, 10):
            return read_start(in);
        case method_id(10, 30):
            return read_tune(in);
        case method_id(10, 41):
            return ConnectionOpenOk{};
        case method_id(10, 50):
            return read_close<ConnectionClose>(in);
        case method_id(10, 51):
            return ConnectionCloseOk{};
        case method_id(10, 60):
            return ConnectionBlocked{in.short_string()};
        case method_id(10, 61):
            return ConnectionUnblocked{};
        case method_id(20, 11):
            return ChannelOpenOk{};
        case method_id(20, 20):
            return ChannelFlow{(in.u8() & 1) != 0};
        case method_id(20, 40):
            return read_close<ChannelClose>(in);
        case method_id(20, 41):
            return ChannelCloseOk{};
        case method_id(40, 11):
            return ExchangeDeclareOk{};
        case method_id(50, 11):
            return read_queue_declare_ok(in);
        case method_id(50, 21):
            return QueueBindOk{};
        case method_id(50, 31):
            return QueuePurgeOk{in.u32()};
        case method_id(60, 11):
            return QosOk{};
        case method_id(60, 21):
            return ConsumeOk{in.short_string()};
        case method_id(60, 30):
            return Cancel{in.short_string()};
        case method_id(60, 50):
            return read_return(in);
        case method_id(60, 60):
            return read_deliver(in);
        case method_id(60, 71):
            return read_get_ok(in);
        case method_id(60, 72):
            return GetEmpty{};
        case method_id(60, 80):
            return read_confirm<Ack>(in);
        case method_id(60, 120):
            return read_confirm<Nack>(in);
        case method_id(85, 11):
            return ConfirmSelectOk{};
        default:
            return std::nullopt;
    }
}

}  // namespace

Result<Method> decode_method(std::string_view payload) {
    Reader in(payload);
    const std::uint32_t method = in.u32();
    auto decoded = read_method(method, in);
    if (!decoded || in.failed()) {
        return fail(Errc::invalid, "method " + std::to_string(method >> 16) + '.' + std::to_string(method & 0xFFFF) +
                                       (decoded ? " broken" : " unexpected"));
    }
    return std::move(*decoded);
}

}  // namespace boardbus::transport::amqp

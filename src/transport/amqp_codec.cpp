// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_codec.h"

#include <algorithm>
#include <utility>

namespace boardbus::transport::amqp {
namespace {

constexpr std::size_t kFraming = 8;  // Type, channel and length before the payload: 7; the end octet after it: 1.
constexpr char kFrameEnd = '\xCE';

/// The start of a method frame; finish() closes it.
class Request {
  public:
    Request(std::uint16_t channel, std::uint32_t method) : channel_(channel), writer_(payload_) { writer_.u32(method); }
    Writer& arguments() { return writer_; }
    std::string finish() const {
        std::string frame;
        frame.reserve(payload_.size() + kFraming);
        put_frame(frame, FrameType::method, channel_, payload_);
        return frame;
    }

  private:
    std::uint16_t channel_;
    std::string payload_;
    Writer writer_;
};

std::string bare(std::uint16_t channel, std::uint32_t method) {
    return Request(channel, method).finish();
}

// The properties in the order of their flags, bit 15 first (AMQP 0-9-1 §4.2.6.1); headers, bit 13, are no optional text.
constexpr std::uint16_t kHeadersFlag = 1U << 13;

template <typename P, typename Visit>
void for_each_property(P& properties, Visit visit) {
    visit(15, properties.content_type);
    visit(14, properties.content_encoding);
    visit(13, properties.headers);
    visit(12, properties.delivery_mode);
    visit(11, properties.priority);
    visit(10, properties.correlation_id);
    visit(9, properties.reply_to);
    visit(8, properties.expiration);
    visit(7, properties.message_id);
    visit(6, properties.timestamp);
    visit(5, properties.type);
    visit(4, properties.user_id);
    visit(3, properties.app_id);
    visit(2, properties.cluster_id);
}

}  // namespace

void FrameReader::feed(std::string_view bytes) {
    buffer_.erase(0, read_);
    read_ = 0;
    buffer_.append(bytes);
}

Result<std::optional<Frame>> FrameReader::next() {
    const std::string_view in = std::string_view(buffer_).substr(read_);
    if (in.size() < kFraming - 1) {
        return std::nullopt;
    }
    Reader head(in);
    const std::uint8_t type = head.u8();
    const std::uint16_t channel = head.u16();
    const std::size_t length = head.u32();
    if (type == 0 || (type > 3 && type != static_cast<std::uint8_t>(FrameType::heartbeat))) {
        return fail(Errc::invalid, "frame type " + std::to_string(type) + ": not AMQP 0-9-1");
    }
    if (length + kFraming > kFrameMax) {
        return fail(Errc::invalid, "frame of " + std::to_string(length + kFraming) + " bytes, " +
                                       std::to_string(kFrameMax) + " agreed");
    }
    if (in.size() < length + kFraming) {
        return std::nullopt;
    }
    if (in[length + kFraming - 1] != kFrameEnd) {
        return fail(Errc::invalid, "frame without its end octet");
    }
    read_ += length + kFraming;
    return Frame{static_cast<FrameType>(type), channel, in.substr(kFraming - 1, length)};
}

Result<ContentHeader> decode_header(std::string_view payload) {
    Reader in(payload);
    const std::uint16_t class_id = in.u16();
    in.u16();  // Weight, always 0.
    ContentHeader header;
    header.body_size = in.u64();
    const std::uint16_t flags = in.u16();
    for_each_property(header.properties, [&]<typename T>(int bit, T& property) {
        if ((flags >> bit & 1) == 0) {
            return;
        }
        if constexpr (std::is_same_v<T, Table>) {
            // Its length says where it ends, whatever is in it.
            Reader headers(in.rest());
            in.long_string();
            property = headers.table();
            header.headers_lost = headers.failed();
            if (header.headers_lost) {
                property.clear();
            }
        } else if constexpr (std::is_same_v<T, std::optional<std::string>>) {
            property = in.short_string();
        } else if constexpr (std::is_same_v<T, std::optional<std::uint8_t>>) {
            property = in.u8();
        } else {
            property = in.u64();
        }
    });
    // Bits 1 and 0: there is no property of that bit, and no second word of flags in AMQP 0-9-1's class basic.
    if (in.failed() || class_id != 60 || (flags & 3) != 0 || !in.rest().empty()) {
        return fail(Errc::invalid, "broken content header");
    }
    return header;
}

std::string start_ok(const Table& client_properties, std::string_view user, std::string_view password) {
    Request request(0, method_id(10, 11));
    std::string response(1, '\0');  // RFC 4616: NUL user NUL password.
    response.append(user).append(1, '\0').append(password);
    request.arguments().table(client_properties).short_string("PLAIN").long_string(response).short_string("en_US");
    return request.finish();
}

std::string tune_ok(const ConnectionTune& tune) {
    Request request(0, method_id(10, 31));
    request.arguments().u16(tune.channel_max).u32(tune.frame_max).u16(tune.heartbeat);
    return request.finish();
}

std::string connection_open(std::string_view vhost) {
    Request request(0, method_id(10, 40));
    request.arguments().short_string(vhost).short_string("").u8(0);
    return request.finish();
}

std::string connection_close() {
    Request request(0, method_id(10, 50));
    request.arguments().u16(200).short_string("goodbye").u32(0);
    return request.finish();
}

std::string connection_close_ok() {
    return bare(0, method_id(10, 51));
}

std::string heartbeat() {
    std::string frame;
    put_frame(frame, FrameType::heartbeat, 0, {});
    return frame;
}

std::string channel_open(std::uint16_t channel) {
    Request request(channel, method_id(20, 10));
    request.arguments().short_string("");
    return request.finish();
}

std::string channel_close(std::uint16_t channel) {
    Request request(channel, method_id(20, 40));
    request.arguments().u16(200).short_string("goodbye").u32(0);
    return request.finish();
}

std::string channel_close_ok(std::uint16_t channel) {
    return bare(channel, method_id(20, 41));
}

std::string channel_flow_ok(std::uint16_t channel, bool active) {
    Request request(channel, method_id(20, 21));
    request.arguments().u8(active ? 1 : 0);
    return request.finish();
}

std::string exchange_declare(std::uint16_t channel, std::string_view exchange, Passive passive) {
    Request request(channel, method_id(40, 10));
    const std::uint8_t bits = passive == Passive::yes ? 1 : 2;  // Passive, durable.
    request.arguments().u16(0).short_string(exchange).short_string("topic").u8(bits).table({});
    return request.finish();
}

std::string queue_declare(std::uint16_t channel, std::string_view queue, Passive passive, const Table& arguments) {
    Request request(channel, method_id(50, 10));
    const std::uint8_t bits = passive == Passive::yes ? 1 : 2;  // Passive, durable.
    request.arguments().u16(0).short_string(queue).u8(bits).table(arguments);
    return request.finish();
}

std::string queue_bind(std::uint16_t channel, std::string_view queue, std::string_view exchange,
                       std::string_view routing_key) {
    Request request(channel, method_id(50, 20));
    request.arguments().u16(0).short_string(queue).short_string(exchange).short_string(routing_key).u8(0).table({});
    return request.finish();
}

std::string queue_purge(std::uint16_t channel, std::string_view queue) {
    Request request(channel, method_id(50, 30));
    request.arguments().u16(0).short_string(queue).u8(0);
    return request.finish();
}

std::string qos(std::uint16_t channel, std::uint16_t prefetch) {
    Request request(channel, method_id(60, 10));
    request.arguments().u32(0).u16(prefetch).u8(0);  // Not global: quorum queues refuse that.
    return request.finish();
}

std::string consume(std::uint16_t channel, std::string_view queue, std::string_view consumer_tag) {
    Request request(channel, method_id(60, 20));
    request.arguments().u16(0).short_string(queue).short_string(consumer_tag).u8(0).table({});
    return request.finish();
}

std::string get(std::uint16_t channel, std::string_view queue) {
    Request request(channel, method_id(60, 70));
    request.arguments().u16(0).short_string(queue).u8(0);
    return request.finish();
}

std::string ack(std::uint16_t channel, std::uint64_t tag, Multiple multiple) {
    Request request(channel, method_id(60, 80));
    request.arguments().u64(tag).u8(multiple == Multiple::yes ? 1 : 0);
    return request.finish();
}

std::string reject(std::uint16_t channel, std::uint64_t tag) {
    Request request(channel, method_id(60, 90));
    request.arguments().u64(tag).u8(0);
    return request.finish();
}

std::string confirm_select(std::uint16_t channel) {
    Request request(channel, method_id(85, 10));
    request.arguments().u8(0);
    return request.finish();
}

void publish(std::string& out, std::uint16_t channel, std::uint32_t frame_max, std::string_view exchange,
             std::string_view routing_key, const Properties& properties, std::string_view body) {
    Request request(channel, method_id(60, 40));
    request.arguments().u16(0).short_string(exchange).short_string(routing_key).u8(1);  // Mandatory.
    out += request.finish();
    std::string header;
    Writer(header).u16(60).u16(0).u64(body.size());
    put_properties(header, properties);
    put_frame(out, FrameType::header, channel, header);
    for (const std::size_t most = frame_max - kFraming; !body.empty();) {
        const std::string_view part = body.substr(0, most);
        put_frame(out, FrameType::body, channel, part);
        body.remove_prefix(part.size());
    }
}

std::size_t encoded_size(const Properties& properties) {
    std::string encoded;
    put_properties(encoded, properties);
    return encoded.size();
}

void put_frame(std::string& out, FrameType type, std::uint16_t channel, std::string_view payload) {
    Writer(out).u8(static_cast<std::uint8_t>(type)).u16(channel).long_string(payload);
    out.push_back(kFrameEnd);
}

void put_properties(std::string& out, const Properties& properties) {
    const std::size_t flags_at = out.size();
    std::uint16_t flags = 0;
    Writer writer(out);
    writer.u16(0);
    for_each_property(properties, [&]<typename T>(int bit, const T& property) {
        if constexpr (std::is_same_v<T, Table>) {
            if (!property.empty()) {
                flags |= kHeadersFlag;
                writer.table(property);
            }
        } else if (property) {
            flags = static_cast<std::uint16_t>(flags | 1U << bit);
            if constexpr (std::is_same_v<T, std::optional<std::string>>) {
                writer.short_string(*property);
            } else if constexpr (std::is_same_v<T, std::optional<std::uint8_t>>) {
                writer.u8(*property);
            } else {
                writer.u64(*property);
            }
        }
    });
    out[flags_at] = static_cast<char>(flags >> 8);
    out[flags_at + 1] = static_cast<char>(flags);
}

}  // namespace boardbus::transport::amqp

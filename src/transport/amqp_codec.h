// AMQP 0-9-1 as a client needs it: frames in and out, our requests, content properties.
//
// Socket-free. Requests are functions that return finished frames; what a broker says is in amqp_method.h. Spec: AMQP 0-9-1
// and RabbitMQ's extensions (publisher confirms, basic.nack, connection.blocked, basic.cancel from the broker).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "transport/amqp_method.h"
#include "transport/amqp_value.h"

namespace boardbus::transport::amqp {

/// The first bytes on a connection.
inline constexpr std::string_view kProtocolHeader{"AMQP\0\0\x09\x01", 8};

/// The largest frame that we take and send, its 8 bytes of framing included; RabbitMQ's own default.
inline constexpr std::uint32_t kFrameMax = 131072;

enum class FrameType : std::uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };

struct Frame {
    FrameType type;
    std::uint16_t channel;
    std::string_view payload;
};

/// Cuts a stream of bytes into frames. Bound: one unfinished frame (128 KiB) and what one feed() brought.
class FrameReader {
  public:
    void feed(std::string_view bytes);

    /// The next whole frame, if there is one; its payload lives until the next feed(). Errors: invalid, and then for ever.
    Result<std::optional<Frame>> next();

  private:
    std::string buffer_;
    std::size_t read_ = 0;
};

/// The properties of a message; what the sender left out is empty.
struct Properties {
    std::optional<std::string> content_type;
    std::optional<std::string> content_encoding;
    Table headers;
    std::optional<std::uint8_t> delivery_mode;
    std::optional<std::uint8_t> priority;
    std::optional<std::string> correlation_id;
    std::optional<std::string> reply_to;
    std::optional<std::string> expiration;
    std::optional<std::string> message_id;
    std::optional<std::uint64_t> timestamp;
    std::optional<std::string> type;
    std::optional<std::string> user_id;
    std::optional<std::string> app_id;
    std::optional<std::string> cluster_id;
    bool operator==(const Properties&) const = default;
};

struct ContentHeader {
    std::uint64_t body_size = 0;
    Properties properties;
    bool headers_lost = false;  ///< The table of headers makes no sense and is left out; all else is as it came.
};
/// Errors: invalid, only where the frame itself is broken: an error costs the connection, and the message would come back.
Result<ContentHeader> decode_header(std::string_view payload);

// What we say. Each returns one finished frame, publish() several.
enum class Passive { no, yes };
enum class Multiple { no, yes };

std::string start_ok(const Table& client_properties, std::string_view user, std::string_view password);
std::string tune_ok(const ConnectionTune& tune);
std::string connection_open(std::string_view vhost);
std::string connection_close();
std::string connection_close_ok();
std::string heartbeat();
std::string channel_open(std::uint16_t channel);
std::string channel_close(std::uint16_t channel);
std::string channel_close_ok(std::uint16_t channel);
std::string channel_flow_ok(std::uint16_t channel, bool active);
/// Durable and of type topic.
std::string exchange_declare(std::uint16_t channel, std::string_view exchange, Passive passive);
/// Durable.
std::string queue_declare(std::uint16_t channel, std::string_view queue, Passive passive, const Table& arguments);
std::string queue_bind(std::uint16_t channel, std::string_view queue, std::string_view exchange,
                       std::string_view routing_key);
std::string queue_purge(std::uint16_t channel, std::string_view queue);
std::string qos(std::uint16_t channel, std::uint16_t prefetch);
std::string consume(std::uint16_t channel, std::string_view queue, std::string_view consumer_tag);
std::string get(std::uint16_t channel, std::string_view queue);
std::string ack(std::uint16_t channel, std::uint64_t tag, Multiple multiple);
/// Without requeue: the queue's dead-letter exchange gets it.
std::string reject(std::uint16_t channel, std::uint64_t tag);
std::string confirm_select(std::uint16_t channel);
/// Mandatory. The method, the header and as many body frames as `frame_max` asks for, appended to `out`.
void publish(std::string& out, std::uint16_t channel, std::uint32_t frame_max, std::string_view exchange,
             std::string_view routing_key, const Properties& properties, std::string_view body);

/// The bytes that the properties take in a content header, which must fit into one frame.
std::size_t encoded_size(const Properties& properties);

/// Appends a frame of any type; the building block of the above, and of a broker in a test.
void put_frame(std::string& out, FrameType type, std::uint16_t channel, std::string_view payload);
void put_properties(std::string& out, const Properties& properties);

}  // namespace boardbus::transport::amqp

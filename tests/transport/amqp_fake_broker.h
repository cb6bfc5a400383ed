// An AMQP broker that says what a test tells it to say, for the tests of connections and channels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/amqp_channel.h"
#include "transport/amqp_connection.h"
#include "transport/listener.h"

namespace boardbus::transport {

using namespace std::chrono_literals;

/// A broker that says what the test tells it to say, and shows what it heard.
class Broker {
  public:
    explicit Broker(Loop& loop) : loop_(loop) {}

    AmqpUrl url() const { return {.endpoint = listener_.endpoint()}; }

    /// Takes the connection and goes through the handshake.
    void welcome(std::uint16_t heartbeat = 0, std::uint32_t frame_max = 131072, std::uint16_t channel_max = 2047) {
        accept();
        begin(10, 10).u8(0).u8(9).table({}).long_string("AMQPLAIN PLAIN").long_string("en_US");
        say(0);
        begin(10, 30).u16(channel_max).u32(frame_max).u16(heartbeat);
        say(0);
        begin(10, 41).short_string("");
        say(0);
    }
    void accept() {
        client_ = listener_.accept(loop_);
        reader_ = {};
        heard_.clear();
    }
    void hang_up() { client_.reset(); }

    amqp::Writer begin(std::uint32_t class_id, std::uint32_t method_id) {
        payload_.clear();
        amqp::Writer writer(payload_);
        writer.u32(class_id << 16 | method_id);
        return writer;
    }
    void say(std::uint16_t channel) {
        std::string frame;
        amqp::put_frame(frame, amqp::FrameType::method, channel, payload_);
        raw(frame);
    }
    void raw(std::string_view bytes) {
        EXPECT_EQ(::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }

    void channel_open_ok() {
        begin(20, 11).u32(0);
        say(1);
    }
    void ack(std::uint64_t tag, bool multiple) {
        begin(60, 80).u64(tag).u8(multiple ? 1 : 0);
        say(1);
    }
    void nack(std::uint64_t tag) {
        begin(60, 120).u64(tag).u8(0);
        say(1);
    }

    /// From now on hearing a request is granting it, and a publication is confirmed.
    void oblige() { obliging_ = true; }

    /// Methods heard since the start of this connection, as class.method, and "hb" for a heartbeat.
    const std::vector<std::string>& heard() {
        char bytes[65536];
        for (ssize_t size = 0; (size = ::recv(client_.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) {
            std::string_view input(bytes, static_cast<std::size_t>(size));
            if (input.starts_with("AMQP")) {
                input.remove_prefix(8);
            }
            reader_.feed(input);
        }
        while (auto frame = reader_.next()) {
            if (!*frame) {
                break;
            }
            if ((*frame)->type == amqp::FrameType::heartbeat) {
                heard_.push_back("hb");
            } else if ((*frame)->type == amqp::FrameType::method) {
                amqp::Reader reader((*frame)->payload);
                const std::uint16_t class_id = reader.u16();
                const std::uint16_t method_id = reader.u16();
                heard_.push_back(std::to_string(class_id) + '.' + std::to_string(method_id));
                if (obliging_ && (*frame)->channel != 0) {
                    grant((*frame)->channel, class_id, method_id);
                }
            }
        }
        return heard_;
    }
    bool has_heard(const std::string& what) { return ::testing::Value(heard(), ::testing::Contains(what)); }

  private:
    void grant(std::uint16_t channel, std::uint16_t class_id, std::uint16_t method_id) {
        if (class_id == 60) {
            begin(60, 80).u64(++published_).u8(0);
        } else if (class_id == 50 && method_id == 10) {
            begin(50, 11).short_string("q").u32(0).u32(0);
        } else {
            begin(class_id, method_id + 1U).u32(0);
        }
        say(channel);
    }

    Loop& loop_;
    Listener listener_;
    UniqueFd client_;
    amqp::FrameReader reader_;
    std::string payload_;
    std::vector<std::string> heard_;
    bool obliging_ = false;
    std::uint64_t published_ = 0;
};

/// A loop with such a broker, and all that a connection and a channel tell their owners.
class AmqpWithBroker : public ::testing::Test, public AmqpConnectionOwner, public AmqpChannelOwner {
  protected:
    AmqpOptions options() {
        AmqpOptions options;
        options.brokers = {broker.url()};
        options.connect_timeout = 300ms;
        options.rpc_timeout = 300ms;
        options.reconnect_initial = 20ms;
        options.reconnect_max = 40ms;
        return options;
    }

    bool until(const std::function<bool()>& condition) {
        const auto end = std::chrono::steady_clock::now() + 5s;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            loop.turn(10ms);
        }
        return condition();
    }

    /// A connection that is open.
    std::unique_ptr<AmqpConnection> opened(const AmqpOptions& with) {
        auto connection = std::make_unique<AmqpConnection>(loop, *this, with);
        connection->start();
        broker.welcome();
        EXPECT_TRUE(until([&] { return connected == 1; }));
        return connection;
    }

    void on_connected() override { ++connected; }
    void on_disconnected(const Error& error) override { losses.push_back(error); }
    void on_blocked(bool now) override { blocked.push_back(now); }
    void on_channel_lost(const Error& error) override { channel_losses.push_back(error); }
    void on_message(AmqpMessage message) override { messages.push_back(std::move(message)); }

    Loop loop;
    Broker broker{loop};
    int connected = 0;
    std::vector<Error> losses;
    std::vector<bool> blocked;
    std::vector<Error> channel_losses;
    std::vector<AmqpMessage> messages;
};

}  // namespace boardbus::transport

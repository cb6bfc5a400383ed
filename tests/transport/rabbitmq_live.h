// What the tests against a real RabbitMQ share. They read its address from BOARDBUS_TEST_AMQP (amqp://…) and are skipped without it.
//
// Each test works with queues of its own random name, so that one broker serves all of them; nothing is deleted afterwards, because
// the broker is thrown away with its directory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/loop.h"
#include "base/random.h"
#include "board/topology.h"
#include "telemetry/metrics.h"
#include "transport/amqp_channel.h"
#include "transport/amqp_connection.h"
#include "transport/url.h"

namespace boardbus::transport {

class LiveRabbit : public ::testing::Test {
  protected:
    void SetUp() override {
        const char* url = std::getenv("BOARDBUS_TEST_AMQP");
        if (url == nullptr) {
            GTEST_SKIP() << "BOARDBUS_TEST_AMQP is not set";
        }
        amqp.brokers = parse_amqp_urls(url).value();
        amqp.reconnect_initial = std::chrono::milliseconds(100);
        names.main = {prefix + ".main", prefix + ".main", "boards.activity"};
        names.retry = {prefix + ".retry", prefix + ".retry", "boards.activity.retry"};
        names.dlq = {prefix + ".dlq", prefix + ".dlq", "boards.activity.dlq"};
    }

    /// Turns the loop until `condition` holds; false after `longest`.
    bool until(const std::function<bool()>& condition, std::chrono::milliseconds longest = std::chrono::seconds(10)) {
        const auto end = std::chrono::steady_clock::now() + longest;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            loop.turn(std::chrono::milliseconds(20));
        }
        return condition();
    }

    board::Topology topology() const { return board::make_topology(names); }

    Loop loop;
    telemetry::Metrics metrics;
    AmqpOptions amqp;
    std::string prefix = "t." + random_uuid().substr(0, 8);
    board::TopologyOptions names;
};

/// One plain channel, for what a test does to the broker behind the back of the code under test.
class LiveChannel final : private AmqpConnectionOwner, private AmqpChannelOwner {
  public:
    LiveChannel(Loop& loop, const AmqpOptions& options)
        : loop_(loop), connection_(loop, *this, options), channel_(loop, connection_, *this) {
        connection_.start();
        turn_until([this] { return channel_.is_open(); });
    }

    /// The answer to one request; opens the channel anew when the broker has closed it before.
    Result<amqp::Method> call(const std::function<std::string(std::uint16_t)>& request) {
        ensure_open();
        std::optional<Result<amqp::Method>> answer;
        channel_.call(request(channel_.number()), [&](Result<amqp::Method> got) { answer = std::move(got); });
        turn_until([&] { return answer.has_value(); });
        return answer ? std::move(*answer) : fail(Errc::timeout, "no answer");
    }

    void publish(const std::string& exchange, const std::string& key, const amqp::Properties& properties,
                 const std::string& body) {
        ensure_open();
        std::string frames;
        amqp::publish(frames, channel_.number(), channel_.frame_max(), exchange, key, properties, body);
        channel_.send(frames);
        loop_.turn(std::chrono::milliseconds(0));
    }

    /// Takes the first message of the queue, or none within 3 s. Consumes, because a queue with a single active consumer refuses
    /// basic.get.
    std::optional<AmqpMessage> take(const std::string& queue) {
        got_.reset();
        call([](std::uint16_t n) { return amqp::qos(n, 1); });
        call([&](std::uint16_t n) { return amqp::consume(n, queue, "test"); });
        turn_until([this] { return got_.has_value(); }, std::chrono::seconds(3));
        if (got_) {
            channel_.send(amqp::ack(channel_.number(), std::get<amqp::Deliver>(got_->method).tag, amqp::Multiple::no));
        }
        auto taken = std::exchange(got_, {});
        bool closed = false;
        channel_.close([&] { closed = true; });
        turn_until([&] { return closed; });
        return taken;
    }

    std::uint32_t depth(const std::string& queue) {
        const auto answer =
            call([&](std::uint16_t n) { return amqp::queue_declare(n, queue, amqp::Passive::yes, {}); });
        return answer ? std::get<amqp::QueueDeclareOk>(*answer).messages : 0;
    }

    /// The program itself has no request that deletes.
    void delete_queue(const std::string& queue) {
        constexpr std::uint8_t kNoWait = 4;
        std::string payload;
        amqp::Writer(payload).u32(50U << 16 | 40U).u16(0).short_string(queue).u8(kNoWait);
        std::string frame;
        amqp::put_frame(frame, amqp::FrameType::method, channel_.number(), payload);
        channel_.send(frame);
        depth(queue);  // A round trip: whoever comes next comes after the deletion.
    }

  private:
    void on_connected() override {
        channel_.open([](const auto&) {});
    }
    void on_disconnected(const Error&) override {}
    void on_channel_lost(const Error&) override {}
    void on_message(AmqpMessage message) override {
        if (!got_) {
            got_ = std::move(message);
        }
    }

    void ensure_open() {
        if (!channel_.is_open()) {
            channel_.open([](const auto&) {});
            turn_until([this] { return channel_.is_open(); });
        }
    }

    void turn_until(const std::function<bool()>& condition, std::chrono::seconds longest = std::chrono::seconds(10)) {
        const auto end = std::chrono::steady_clock::now() + longest;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            loop_.turn(std::chrono::milliseconds(20));
        }
    }

    Loop& loop_;
    AmqpConnection connection_;
    AmqpChannel channel_;
    std::optional<AmqpMessage> got_;
};

}  // namespace boardbus::transport

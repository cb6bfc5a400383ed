// One connection to RabbitMQ, kept up for as long as its owner wants it.
//
// Handshake, heartbeats both ways, the notices of a broker that is short of memory or disk, the orderly end; and after a loss the next
// endpoint at once, then rounds with growing waits. What runs on it are channels (amqp_channel.h). Never blocks: a request has a
// deadline, and a broker that does not answer in time is as good as gone. Lives on its owner's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "base/result.h"
#include "transport/amqp_codec.h"
#include "transport/stream.h"
#include "transport/url.h"

namespace boardbus::transport {

class AmqpChannel;

struct AmqpOptions {
    std::vector<AmqpUrl> brokers;   ///< At least one; tried in turn.
    std::string name = "boardbus";  ///< What the broker's tools call this connection.
    TlsOptions tls;
    std::uint16_t channels = 4;  ///< Those that its owner keeps open at once; a broker that allows fewer is refused.
    std::chrono::seconds heartbeat{10};
    std::chrono::milliseconds connect_timeout{5000};  ///< For TCP and TLS, and again for the AMQP handshake.
    std::chrono::milliseconds rpc_timeout{15000};     ///< A quorum queue that elects its leader answers after seconds.
    std::chrono::milliseconds reconnect_initial{1500};
    std::chrono::milliseconds reconnect_max{10000};
};

/// Who uses a connection. None of these calls may destroy it.
class AmqpConnectionOwner {
  public:
    /// Channels can be opened now.
    virtual void on_connected() = 0;
    /// The connection is lost, or one attempt to get it has failed. Its channels have been told already.
    virtual void on_disconnected(const Error& error) = 0;
    /// The broker has stopped reading what we publish (memory or disk alarm), or goes on.
    virtual void on_blocked(bool /*blocked*/) {}

  protected:
    ~AmqpConnectionOwner() = default;
};

class AmqpConnection final : private StreamOwner {
  public:
    AmqpConnection(Loop& loop, AmqpConnectionOwner& owner, AmqpOptions options);
    AmqpConnection(const AmqpConnection&) = delete;
    AmqpConnection& operator=(const AmqpConnection&) = delete;
    ~AmqpConnection() = default;

    /// Connects, and connects again after every loss, until stop().
    void start();

    /// Closes in good order, within 2 s, and stays closed; channels that were open are lost. `done` is always called.
    void stop(Task done);

    bool is_open() const { return state_ == State::open; }
    bool is_blocked() const { return blocked_; }
    std::size_t unsent() const { return stream_.unsent(); }

    /// Gives the connection up because the peer broke the protocol or does not answer; reconnects.
    void drop(Error error);

  private:
    friend class AmqpChannel;
    // Beyond those of the owner: a channel that has gone keeps its number until the broker has answered its close.
    static constexpr std::uint16_t kChannelsClosing = 12;
    enum class State { idle, waiting, connecting, handshake, open, closing };
    enum class Slot { free, used, closing };

    // For AmqpChannel.
    std::uint16_t take_number(AmqpChannel& channel);  ///< A free number. None: the connection is dropped, and 0.
    void return_number(std::uint16_t number, Slot becomes);
    void send(std::string_view frames);

    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_closed(const Error& error) override;

    void connect();
    void on_frame(const amqp::Frame& frame);
    void on_orphan_frame(const amqp::Frame& frame);
    void on_method(const amqp::Method& method);
    void answer_start(const amqp::ConnectionStart& start);
    void answer_tune(const amqp::ConnectionTune& tune);
    void opened();
    void finish_stop();
    void end_channels(const Error& error);
    void tick();
    void lose(const Error& error);
    void set_blocked(bool blocked, std::string_view reason);

    // Constant after construction.
    Loop& loop_;
    AmqpConnectionOwner& owner_;
    const AmqpOptions options_;

    // Loop only.
    Stream stream_;
    State state_ = State::idle;
    amqp::FrameReader reader_;
    std::uint64_t generation_ = 0;        // Grows with every connect and loss: what began before it ends there.
    std::vector<AmqpChannel*> channels_;  // By number; the first is never used.
    std::vector<Slot> slots_;
    std::uint16_t channel_max_ = 0;  // As agreed with the broker.
    std::uint32_t frame_max_ = amqp::kFrameMax;
    std::chrono::seconds heartbeat_{};
    Instant last_received_{};
    Instant opened_at_{};
    bool sent_since_tick_ = false;
    bool blocked_ = false;
    std::size_t broker_ = 0;
    std::size_t tried_ = 0;  // Brokers tried since the last lasting connection or wait.
    std::string last_failure_;
    Backoff backoff_;
    Timer reconnect_;
    Timer heartbeat_timer_;
    Timer deadline_;  // Of the handshake and of the close.
    Task stopped_;
};

}  // namespace boardbus::transport

// One channel of a connection: requests with their answers, and messages put together from their frames.
//
// A channel ends when the broker closes it (a request was wrong), when its connection is lost, or by close(); it can then be opened
// again. Requests are answered one at a time and in order. Lives on its connection's loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "base/loop.h"
#include "base/result.h"
#include "transport/amqp_codec.h"
#include "transport/amqp_connection.h"

namespace boardbus::transport {

/// A body larger than this is not kept (16 MiB; the largest board message is 1 MiB by default). The message is handed up without it
/// and with `oversized`, so that its receiver can reject it: the broker then moves the whole of it to the DLQ by itself.
inline constexpr std::uint64_t kBodyMax = 16U << 20;

struct AmqpMessage {
    std::variant<amqp::Deliver, amqp::GetOk, amqp::Return> method;
    amqp::Properties properties;
    std::string body;
    bool oversized = false;
};

/// Who uses a channel. None of these calls may destroy it.
class AmqpChannelOwner {
  public:
    /// An open channel has ended, not by close(). Requests under way have failed before this.
    virtual void on_channel_lost(const Error& error) = 0;
    virtual void on_message(AmqpMessage /*message*/) {}
    /// A publisher confirm; `refused` is basic.nack.
    virtual void on_confirm(std::uint64_t /*tag*/, amqp::Multiple /*multiple*/, bool /*refused*/) {}
    /// The broker has ended our consumer: its queue is gone.
    virtual void on_cancelled() {}
    /// All that one read had brought has been handed up.
    virtual void on_read_end() {}

  protected:
    ~AmqpChannelOwner() = default;
};

class AmqpChannel {
  public:
    using ReplyDone = std::move_only_function<void(Result<amqp::Method>)>;

    AmqpChannel(Loop& loop, AmqpConnection& connection, AmqpChannelOwner& owner);
    AmqpChannel(const AmqpChannel&) = delete;
    AmqpChannel& operator=(const AmqpChannel&) = delete;
    /// An open channel is closed; callbacks of requests under way are not called.
    ~AmqpChannel();

    /// Errors: unavailable (no connection), overloaded (no channel number left: the connection is dropped), refused, timeout.
    void open(ReplyDone done);

    /// Ends the channel; what was delivered on it and not acked returns to its queue. `done` is called in any case.
    void close(Task done);

    bool is_open() const { return state_ == State::open; }
    std::uint16_t number() const { return number_; }
    std::uint32_t frame_max() const { return connection_.frame_max_; }

    /// Sends one request (a finished frame for number()) and hands its answer to `done`. Bound: callers keep a handful at most.
    /// Errors: closed (channel not open), refused (the broker closed the channel: code and text), timeout, unavailable.
    void call(std::string request, ReplyDone done);

    /// Sends frames that have no answer.
    void send(std::string_view frames) { connection_.send(frames); }

  private:
    friend class AmqpConnection;
    enum class State { closed, opening, open, closing };
    struct Rpc {
        std::string request;
        ReplyDone done;
    };

    void on_frame(const amqp::Frame& frame);
    void on_read_end();
    void on_lost(const Error& error);
    void on_method(amqp::Method method);
    void on_header(std::string_view payload);
    void on_body(std::string_view payload);
    void complete_content();
    void on_closed_by_broker(const amqp::ChannelClose& close);
    void send_next();
    void on_deadline();
    void answer(amqp::Method method);
    void end(const Error& error);

    AmqpConnection& connection_;
    AmqpChannelOwner& owner_;
    State state_ = State::closed;
    std::uint16_t number_ = 0;
    std::deque<Rpc> rpcs_;  // The first one has been sent.
    Timer deadline_;        // Of the first one.
    Task closed_;

    // The message that is being put together.
    enum class Expect { method, header, body } expect_ = Expect::method;
    AmqpMessage message_;
    std::uint64_t body_missing_ = 0;
};

}  // namespace boardbus::transport

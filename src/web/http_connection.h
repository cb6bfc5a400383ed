// One HTTP connection: requests in, answers out in the same order, until it ends or turns into a WebSocket or an event
// stream.
//
// One request at a time: while one is being decided, published or written, nothing is read, so that a client that
// pipelines without reading waits in its own socket. Spec: RFC 9112, CONTRACT §4. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "web/client_address.h"
#include "web/http_request.h"
#include "web/rate_limit.h"
#include "web/replies.h"
#include "web/routes.h"
#include "web/session.h"
#include "web/ws_session.h"

namespace boardbus::web {

class HttpConnection final : public Session {
  public:
    HttpConnection(Edge& edge, hub::Shard& shard, UniqueFd fd, const Address& peer);

    void on_ready(std::uint32_t events) override;
    void on_trouble(hub::Trouble trouble) override;
    void on_sweep() override;
    void on_notice(std::string_view, const hub::EncodedNotice&) override {}
    void on_published(board::PublishResult result, const Receipt* receipt) override;
    void on_resumed(hub::ResumeAnswer) override {}
    void on_past(Result<hub::SharedPast> past) override;
    void on_live(bool) override {}
    void go_away() override;

  private:
    enum class State : std::uint8_t {
        receiving,     ///< Between requests or inside one.
        deciding,      ///< The rate limits are being asked.
        publishing,    ///< The bus is being asked.
        remembering,   ///< The history is being asked.
        writing,       ///< The answer waits for the socket.
        writing_last,  ///< The same, and it was the last.
        lingering,  ///< All is written and our side shut; what the client still sends is read and thrown away, lest the
                    ///< answer be lost.
        upgrading,  ///< To become a WebSocket.
        streaming,  ///< To become an event stream.
    };

    /// What a handshake leads to.
    struct Upgrade {
        std::string response;
        WsTerms terms;
        std::uint16_t close_code = 0;  ///< 0: the socket is welcome.
        std::string_view close_reason;
    };

    // The conversation: http_connection.cpp.
    void go_on(std::span<char> bytes);
    void resume();
    void take_request();
    void on_rate_decision(const RateDecision& decision);
    void answer(std::string response, int status);
    void set_state(State state);
    void become_websocket();
    void become_stream();

    // The answers: http_answers.cpp. Each ends in answer() or in a state that leads there.
    void handle();
    void show_index();
    void show_readiness();
    void show_metrics();
    void show_asset();
    void open_stream();
    void take_message();
    void show_history();
    void shake_hands();
    void count_failed_authentication();
    void upgrade(std::string_view key, Upgrade upgrade);
    bool has_token() const;
    void reply(const Reply& reply);
    void fail_with(int status, std::string_view detail);
    ReplyContext context() const;
    std::optional<RateLimit> limit() const;
    std::string stream_cursor() const;
    std::string_view header(std::string_view name) const { return request_.header(name).value_or(std::string_view()); }

    const Address peer_;
    HttpInput input_;
    State state_ = State::receiving;
    bool in_go_on_ = false;
    std::uint32_t since_ms_;  // Begin of the state; receiving: of the request, or of the wait for one.
    std::string unread_;      // Input behind the request in hand or the turn. Bound: one read.

    // Of the request in hand.
    HttpRequest request_;
    Instant began_{};
    RouteMatch match_;
    std::string_view query_;  // Into request_.
    Address client_;
    std::string request_id_;
    std::optional<RateDecision> rate_;
    std::string accepted_;             // The body of a 202, should the bus take the message.
    std::vector<std::string> boards_;  // Of a stream, WebSocket or history. Bound: kStreamBoardsMax.
    hub::ResumePoint point_;           // Where a stream begins.
    Upgrade upgrade_;
};

}  // namespace boardbus::web

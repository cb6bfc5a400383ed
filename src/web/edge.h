// The public edge of one loop: its door, its connections and what they share.
//
// A connection begins as HttpConnection and may turn into a WsSession or SseSession, which takes its place in the table
// and its socket. What a connection needs only while it works is here, once per loop: read buffer, inflater, replies,
// the timer that sweeps. So an idle WebSocket owns little more than its descriptor. Everything on the edge's loop
// except where it says otherwise.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "board/ports.h"
#include "hub/frame.h"
#include "hub/hub.h"
#include "hub/outbox.h"
#include "hub/shard.h"
#include "telemetry/metrics.h"
#include "web/admission.h"
#include "web/client_address.h"
#include "web/edge_services.h"
#include "web/listener.h"
#include "web/options.h"
#include "web/rate_limit.h"
#include "web/replies.h"
#include "web/session.h"
#include "web/ws_deflate.h"

namespace boardbus::web {

/// How the hub makes WebSocket bytes. For the bus loop.
hub::WsEncoder make_ws_encoder();

class Edge {
  public:
    /// Makes the loop's shard and adds it to the hub: at start, before the loop runs.
    Edge(Loop& loop, const Options& options, EdgeServices& services);
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;
    ~Edge();

    /// Serves connections of this socket from now on.
    void listen(UniqueFd listener);

    /// Serves a connection that somebody else accepted; non-blocking.
    void adopt(UniqueFd fd, const Address& peer);

    /// Stops accepting, ends all sessions (1001, end of stream), waits for publishes that are on their way and calls
    /// `done`, at the latest after `grace`; what is left then is closed. Many sessions are ended in slices in random
    /// order over half of the grace, so that they do not come down on the other servers all at once. `done` must not
    /// destroy the edge.
    void drain(std::chrono::nanoseconds grace, Task done);
    bool draining() const { return draining_; }

    std::size_t session_count() const { return session_count_; }

    // For sessions.
    Loop& loop() const { return loop_; }
    const Options& options() const { return options_; }
    EdgeServices& services() const { return services_; }
    const TokenCheck& token() const { return token_; }
    telemetry::LoopCounters& counters() const { return shard_.counters(); }
    Replies& replies() { return replies_; }
    Inflater& inflater() { return inflater_; }

    /// Milliseconds of this edge, for the four-byte time stamps of sessions; wraps after 49 days, differences stay
    /// right.
    std::uint32_t clock_ms() const;

    /// One recv() into the loop's buffer. Empty: nothing there (`ended` false) or the peer has ended or failed (`ended`
    /// true).
    struct Input {
        std::span<char> bytes;
        bool ended = false;
    };
    Input receive(const Session& session, std::size_t most = SIZE_MAX);

    Ticket ticket_of(const Session& session) const { return {session.place_, places_[session.place_].generation}; }
    Session* find(Ticket ticket) const;

    /// Sends a message to the bus; the session hears through on_published(), unless it has gone.
    void publish(const Session& session, board::Publication publication, std::unique_ptr<Receipt> receipt = {});

    /// Lets a session join boards (none: all; sorted) at a known place. It hears through on_resumed(); when it has gone,
    /// what the hub counted is reported as left. Slices are cut so that one fits into a reader's backlog.
    void resume(const Session& session, std::vector<std::string> boards, const hub::ResumePoint& point);

    /// What a session does with an answer that came too late for it.
    void report_left(const std::vector<std::string>& boards, hub::Form form);

    /// Asks for the last `limit` events of a board below `before`. The session hears through on_past().
    void read_past(const Session& session, std::string board, std::uint64_t before, std::size_t limit);

    /// False while live delivery has been interrupted for a while.
    bool is_live() const { return live_; }

    /// Could a stream go on behind this cursor? As far as this loop knows the history.
    bool may_follow(std::string_view cursor) const;

    /// When a client that is sent away, or loses its stream, should come back: spread over a second or more.
    std::chrono::milliseconds reconnect_delay() const;

    /// Puts `next`, which has the socket of `old`, into its place. `old` is destroyed.
    void replace(Session& old, std::unique_ptr<Session> next);

    /// Closes the socket.
    void destroy(Session& session);

  private:
    struct Place {
        std::unique_ptr<Session> session;
        std::uint32_t generation = 0;
    };

    void on_published(Ticket ticket, board::PublishResult result, const Receipt* receipt);
    void sweep();
    void send_away();
    void finish_drain();
    void complain_of_crowd();

    // Constant after construction.
    Loop& loop_;
    const Options& options_;
    EdgeServices& services_;
    const TokenCheck token_;
    const Instant started_;

    // Loop only.
    hub::Shard shard_;
    Replies replies_;
    Inflater inflater_;
    std::vector<char> buffer_;
    std::vector<Place> places_;               // Bound: Occupancy::sockets.
    std::vector<std::uint32_t> free_places_;  // Bound: the places.
    std::size_t session_count_ = 0;
    std::size_t publishes_ = 0;  // On their way to the bus, sessions gone or not.
    std::size_t questions_ = 0;  // Not answered by the hub, sessions gone or not. Bound: too_many().
    std::size_t next_swept_ = 0;
    Timer sweep_timer_;
    std::unique_ptr<Listener> listener_;
    Instant next_complaint_{};
    bool live_ = true;
    std::string epoch_;  // Of the history; "": not known yet.
    bool draining_ = false;
    std::vector<Ticket> leaving_;  // Who has to be sent away, in random order. Bound: the sessions.
    std::size_t leave_at_once_ = 0;
    Timer leave_timer_, drain_timer_;
    Task drained_;
};

}  // namespace boardbus::web

// What an edge knows of any of its connections: HTTP, WebSocket, SSE.
//
// A session belongs to the edge's table, which destroys it. What may outlive it (a publish, a question to the rate
// limits) names it by its Ticket and finds nobody when it has gone. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "board/ports.h"
#include "hub/hub.h"
#include "hub/reader.h"

namespace boardbus::web {

class Edge;

/// Names a session for those that answer it later. A place in the table is used again, with the next generation.
struct Ticket {
    std::uint32_t place = 0;
    std::uint32_t generation = 0;
};

/// What the sender of a message has to be told about it, for those who are told.
struct Receipt {
    std::string correlation_id;
    std::string event_id;
};

class Session : public hub::Reader {
  public:
    /// Looks at the clocks. Called about once a second, more often when there are few sessions. May destroy the
    /// session.
    virtual void on_sweep() = 0;

    /// What became of its publish. `receipt` is what it gave, or null.
    virtual void on_published(board::PublishResult result, const Receipt* receipt) = 0;

    /// The answer to Edge::resume(). One that says `joined` is followed by joining or by reporting a leave.
    virtual void on_resumed(hub::ResumeAnswer answer) = 0;

    /// The answer to Edge::read_past().
    virtual void on_past(Result<hub::SharedPast> past) = 0;

    /// Live delivery has been interrupted for a while, or goes on.
    virtual void on_live(bool live) = 0;

    /// The server is going away, and it is this session's turn: ends it as its protocol wants it, as soon as nothing is
    /// owed to it. May destroy the session.
    virtual void go_away() = 0;

  protected:
    Session(Edge& edge, hub::Shard& shard, UniqueFd fd, hub::Form form)
        : Reader(shard, std::move(fd), form), edge_(edge) {}

    Edge& edge_;

  private:
    friend class Edge;
    std::uint32_t place_ = 0;  // In the edge's table.
};

}  // namespace boardbus::web

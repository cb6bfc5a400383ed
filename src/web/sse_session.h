// One server-sent event stream: all boards, some, or one. It only listens.
//
// Spec: CONTRACT §4, HTML §9.2. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "web/session.h"

namespace boardbus::web {

/// HTTP/1.0 knows no chunks: its stream just ends with the connection.
enum class Chunks { yes, no };

class SseSession final : public Session {
  public:
    SseSession(Edge& edge, hub::Shard& shard, UniqueFd fd, Chunks chunks);
    ~SseSession() override;

    /// Joins the boards (none: all) and sends the head of the response. `boards` are different from one another.
    void open(const std::vector<std::string>& boards, std::string_view head);

    void on_ready(std::uint32_t events) override;
    void on_trouble(hub::Trouble trouble) override;
    void on_sweep() override;
    void on_published(board::PublishResult) override {}
    void go_away() override;

  private:
    Instant beat_;  // The last heartbeat or, when ending, since when.
    bool ending_ = false;
};

}  // namespace boardbus::web

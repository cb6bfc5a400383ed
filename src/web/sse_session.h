// One server-sent event stream: all boards, some, or one. It only listens.
//
// It joins its boards at a place that it can name, so that a client that has seen no event yet can come back, too.
// Spec: CONTRACT §4, HTML §9.2. Lives on its loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
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

    /// Sends the head of the response and joins the boards (none: all) at `point`. `boards` are sorted and different
    /// from one another.
    void open(std::vector<std::string> boards, std::string_view head, const hub::ResumePoint& point);

    void on_ready(std::uint32_t events) override;
    void on_trouble(hub::Trouble trouble) override;
    void on_sweep() override;
    void on_notice(std::string_view board, const hub::EncodedNotice& notice) override;
    void on_published(board::PublishResult, const Receipt*) override {}
    void on_resumed(hub::ResumeAnswer answer) override;
    void on_past(Result<hub::SharedPast>) override {}
    void on_live(bool) override {}
    void go_away() override;

  private:
    /// Before it has joined.
    struct Joining {
        std::vector<std::string> boards;
        hub::ResumePoint point;
        bool asking = false;
    };

    void ask_next();
    void send_lines(std::string_view lines);

    bool ending_ = false;  // First: it fits into the end of Session.
    std::unique_ptr<Joining> joining_;
    Instant beat_;  // The last heartbeat or, when ending, since when.
};

}  // namespace boardbus::web

// SPDX-License-Identifier: Apache-2.0
#include "web/sse_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "telemetry/log.h"
#include "web/edge.h"

namespace boardbus::web {
namespace {

// How long a client may take to read the end of its stream.
constexpr std::chrono::seconds kEndTimeout{3};

hub::Form form_of(Chunks chunks) {
    return chunks == Chunks::yes ? hub::Form::sse_chunked : hub::Form::sse_plain;
}

}  // namespace

SseSession::SseSession(Edge& edge, hub::Shard& shard, UniqueFd fd, Chunks chunks)
    : Session(edge, shard, std::move(fd), form_of(chunks)), beat_(edge.loop().now()) {
    edge_.counters().sse.connections.add();
    edge_.counters().sse.opened.add();
}

SseSession::~SseSession() {
    edge_.counters().sse.connections.subtract();
}

void SseSession::open(std::vector<std::string> boards, std::string_view head, const hub::ResumePoint& point) {
    joining_ = std::make_unique<Joining>(Joining{.boards = std::move(boards), .point = point});
    // Asked before the client can know of it: nothing that it causes after the answer is older than its place.
    ask_next();
    shard().send(*this, head);
    send_lines("retry: " + std::to_string(edge_.reconnect_delay().count()) + '\n');
    if (edge_.draining()) {
        go_away();
    }
}

void SseSession::ask_next() {
    if (joining_ && !joining_->asking && backlog() == 0 && !ending_) {
        joining_->asking = true;
        edge_.resume(*this, joining_->boards, joining_->point);
    }
}

void SseSession::on_resumed(hub::ResumeAnswer answer) {
    joining_->asking = false;
    if (ending_) {
        if (answer.joined) {
            edge_.report_left(joining_->boards, form());
        }
        return;
    }
    if (answer.failed) {
        telemetry::log(telemetry::Level::warn, "stream_not_resumed", {{"reason", "the history cannot be read"}});
        go_away();
        return;
    }
    if (!answer.cursor.empty()) {
        send_lines("id: " + answer.cursor + '\n');
    }
    if (!answer.bytes.empty()) {
        shard().send(*this, answer.bytes);
    }
    if (!answer.joined) {
        joining_->point = std::move(answer.next);
        ask_next();
        return;
    }
    if (joining_->boards.empty()) {
        shard().join_counted(*this, {});
    }
    for (const std::string& board : joining_->boards) {
        shard().join_counted(*this, board);
    }
    joining_.reset();
}

void SseSession::on_notice(std::string_view, const hub::EncodedNotice& notice) {
    if (ending_) {
        return;
    }
    edge_.counters().gaps.add();
    if (notice.kind == hub::Notice::Kind::cut) {
        edge_.destroy(*this);
        return;
    }
    shard().send(*this, notice.forms[static_cast<std::size_t>(form())]);
}

void SseSession::send_lines(std::string_view lines) {
    std::string out;
    hub::append_sse_lines(out, form(), lines);
    shard().send(*this, out);
}

void SseSession::on_ready(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
        shard().on_writable(*this);
        if (ending_ && backlog() == 0) {
            ::shutdown(fd(), SHUT_WR);
        }
        ask_next();
    }
    // Nothing that the client says matters; that it has gone does.
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && edge_.receive(*this).ended) {
        edge_.destroy(*this);
    }
}

void SseSession::on_trouble(hub::Trouble trouble) {
    if (trouble == hub::Trouble::too_slow) {
        edge_.counters().sse.slow_readers_closed.add();
        telemetry::log(telemetry::Level::warn, "slow_stream_closed",
                       {{"board", board()}, {"backlog_bytes", static_cast<std::int64_t>(backlog())}});
    }
    // A stream cut in the middle of a chunk is the only way to say that something is missing.
    edge_.destroy(*this);
}

void SseSession::on_sweep() {
    const Instant now = edge_.loop().now();
    if (ending_) {
        if (now - beat_ >= kEndTimeout) {
            edge_.destroy(*this);
        }
        return;
    }
    if (now - std::max(beat_, hub::Shard::last_event(*this)) < edge_.options().sse_heartbeat) {
        return;
    }
    beat_ = now;
    std::string heartbeat;
    const hub::SseSlices slices = hub::append_sse(heartbeat, {}, "heartbeat", "{}");
    const hub::Slice slice = form() == hub::Form::sse_chunked ? slices.chunk : slices.plain;
    shard().send(*this, std::string_view(heartbeat).substr(slice.at, slice.size));
}

void SseSession::go_away() {
    if (std::exchange(ending_, true)) {
        return;
    }
    beat_ = edge_.loop().now();
    std::string last;
    hub::append_sse_lines(last, form(), "retry: " + std::to_string(edge_.reconnect_delay().count()) + '\n');
    last += form() == hub::Form::sse_chunked ? "0\r\n\r\n" : "";
    shard().send_last(*this, last);
    if (backlog() == 0) {
        ::shutdown(fd(), SHUT_WR);
    }
}

}  // namespace boardbus::web

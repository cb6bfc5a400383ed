// SPDX-License-Identifier: Apache-2.0
#include "web/edge.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "telemetry/log.h"
#include "web/http_connection.h"
#include "web/ws_codec.h"

namespace boardbus::web {
namespace {

// One for all connections of the loop: large enough that a message of the maximum size needs five reads, small beside
// the L2 cache.
constexpr std::size_t kReadBytes = 256 * 1024;

// Each sweep looks at a tenth of the sessions, at least at 256: all of them once a second, without a pause that a
// reader could feel.
constexpr std::chrono::milliseconds kSweepInterval{100};
constexpr std::size_t kSweepParts = 10;
constexpr std::size_t kSweepLeast = 256;

}  // namespace

hub::WsEncoder make_ws_encoder() {
    return {
        .text = [](std::string_view text, std::string& out) { append_frame(out, Opcode::text, text); },
        .deflated =
            [deflater = std::make_shared<Deflater>()](std::string_view text, std::string& out) {
                append_frame(out, Opcode::text, deflater->deflate(text), Compressed::yes);
            },
    };
}

Edge::Edge(Loop& loop, const Options& options, EdgeServices& services)
    : loop_(loop),
      options_(options),
      services_(services),
      token_(options.token),
      started_(loop.now()),
      shard_(loop, services.hub, services.slow_budget, services.metrics.add_loop()),
      replies_(options),
      buffer_(kReadBytes),
      sweep_timer_(loop, [this] { sweep(); }),
      drain_timer_(loop, [this] { finish_drain(); }) {
    services.hub.add_shard(shard_);
}

Edge::~Edge() {
    for (Place& place : places_) {
        if (place.session) {
            destroy(*place.session);
        }
    }
}

void Edge::listen(UniqueFd listener) {
    listener_ = std::make_unique<Listener>(loop_, std::move(listener),
                                           [this](UniqueFd fd, const Address& peer) { adopt(std::move(fd), peer); });
}

void Edge::adopt(UniqueFd fd, const Address& peer) {
    if (!services_.occupancy.sockets.take()) {
        complain_of_crowd();
        return;
    }
    std::uint32_t index = 0;
    if (free_places_.empty()) {
        index = static_cast<std::uint32_t>(places_.size());
        places_.emplace_back();
    } else {
        index = free_places_.back();
        free_places_.pop_back();
    }
    Place& place = places_[index];
    place.session = std::make_unique<HttpConnection>(*this, shard_, std::move(fd), peer);
    place.session->place_ = index;
    loop_.add(place.session->fd(), EPOLLIN, *place.session);
    if (session_count_++ == 0) {
        sweep_timer_.start(kSweepInterval);
    }
}

void Edge::complain_of_crowd() {
    // Once a minute: whoever fills the house must not fill the log, too.
    if (loop_.now() >= next_complaint_) {
        next_complaint_ = loop_.now() + std::chrono::minutes(1);
        telemetry::log(telemetry::Level::warn, "connections_refused",
                       {{"open", static_cast<std::int64_t>(services_.occupancy.sockets.taken())}});
    }
}

std::uint32_t Edge::clock_ms() const {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - started_).count());
}

Edge::Input Edge::receive(const Session& session, std::size_t most) {
    const ssize_t size = ::recv(session.fd(), buffer_.data(), std::min(most, buffer_.size()), MSG_DONTWAIT);
    if (size > 0) {
        return {.bytes = std::span(buffer_).first(static_cast<std::size_t>(size))};
    }
    return {.bytes = {}, .ended = size == 0 || (errno != EAGAIN && errno != EINTR)};
}

Session* Edge::find(Ticket ticket) const {
    const Place& place = places_[ticket.place];
    return place.generation == ticket.generation ? place.session.get() : nullptr;
}

void Edge::publish(const Session& session, board::Publication publication) {
    ++publishes_;
    const Ticket ticket = ticket_of(session);
    if (&loop_ == &services_.bus_loop) {
        services_.publisher.publish(std::move(publication), [this, ticket](board::PublishResult result) {
            on_published(ticket, std::move(result));
        });
        return;
    }
    // Bound: each session's publishes in flight.
    services_.bus_loop.post([this, ticket, publication = std::move(publication)]() mutable {
        services_.publisher.publish(std::move(publication), [this, ticket](board::PublishResult result) {
            loop_.post(
                [this, ticket, result = std::move(result)]() mutable { on_published(ticket, std::move(result)); });
        });
    });
}

void Edge::on_published(Ticket ticket, board::PublishResult result) {
    --publishes_;
    if (Session* session = find(ticket)) {
        session->on_published(std::move(result));
    }
    if (draining_ && session_count_ == 0 && publishes_ == 0) {
        drain_timer_.start({});
    }
}

void Edge::replace(Session& old, std::unique_ptr<Session> next) {
    Place& place = places_[old.place_];
    next->place_ = old.place_;
    ++place.generation;
    loop_.replace(next->fd(), EPOLLIN, old, *next);
    place.session = std::move(next);
}

void Edge::destroy(Session& session) {
    const std::uint32_t index = session.place_;
    loop_.remove(session.fd(), session);
    ++places_[index].generation;
    // Out of the table before its destructor runs, so that nobody finds half a session.
    const auto gone = std::move(places_[index].session);
    free_places_.push_back(index);
    services_.occupancy.sockets.leave();
    if (--session_count_ == 0) {
        sweep_timer_.stop();
        if (draining_ && publishes_ == 0) {
            drain_timer_.start({});
        }
    }
}

void Edge::sweep() {
    const std::size_t count = std::max(places_.size() / kSweepParts + 1, kSweepLeast);
    for (std::size_t i = 0; i < std::min(count, places_.size()); ++i) {
        next_swept_ = (next_swept_ + 1) % places_.size();
        if (places_[next_swept_].session) {
            places_[next_swept_].session->on_sweep();
        }
    }
    if (session_count_ > 0) {
        sweep_timer_.start(kSweepInterval);
    }
}

void Edge::drain(std::chrono::nanoseconds grace, Task done) {
    draining_ = true;
    drained_ = std::move(done);
    listener_.reset();
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (places_[i].session) {
            places_[i].session->go_away();
        }
    }
    drain_timer_.start(session_count_ == 0 && publishes_ == 0 ? std::chrono::nanoseconds(0) : grace);
}

void Edge::finish_drain() {
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (places_[i].session) {
            destroy(*places_[i].session);
        }
    }
    drain_timer_.stop();
    if (drained_) {
        std::exchange(drained_, nullptr)();
    }
}

}  // namespace boardbus::web

// SPDX-License-Identifier: Apache-2.0
#include "web/edge.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/random.h"
#include "board/cursor.h"
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

// A drain sends away 64 sessions at once, so that a small server stops at once; more of them when there would be more slices
// than fit into half of the grace.
constexpr std::size_t kLeaveAtOnce = 64;
constexpr std::chrono::milliseconds kLeaveInterval{50};

// What a replay encodes at a time; a smaller backlog gets smaller slices.
constexpr std::size_t kSliceBytes = 256 * 1024;

// Questions to the hub that are open at once, beyond two for each socket: those of sockets that have gone wait on while the history is
// away, a few hundred bytes each. More are told to come back later.
constexpr std::size_t kQuestionsSpare = 1024;

bool too_many(std::size_t questions, std::size_t sessions) {
    return questions >= kQuestionsSpare + 2 * sessions;
}

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
      leave_timer_(loop, [this] { send_away(); }),
      drain_timer_(loop, [this] { finish_drain(); }) {
    shard_.set_listener({.on_live =
                             [this](bool live) {
                                 live_ = live;
                                 for (std::size_t i = 0; i < places_.size(); ++i) {
                                     if (places_[i].session) {
                                         places_[i].session->on_live(live);
                                     }
                                 }
                             },
                         .on_epoch = [this](const std::string& epoch) { epoch_ = epoch; }});
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

void Edge::publish(const Session& session, board::Publication publication, std::unique_ptr<Receipt> receipt) {
    ++publishes_;
    const Ticket ticket = ticket_of(session);
    if (&loop_ == &services_.bus_loop) {
        services_.publisher.publish(std::move(publication),
                                    [this, ticket, receipt = std::move(receipt)](board::PublishResult result) {
                                        on_published(ticket, std::move(result), receipt.get());
                                    });
        return;
    }
    // Bound: each session's publishes in flight.
    services_.bus_loop.post([this, ticket, publication = std::move(publication),
                             receipt = std::move(receipt)]() mutable {
        services_.publisher.publish(
            std::move(publication), [this, ticket, receipt = std::move(receipt)](board::PublishResult result) mutable {
                loop_.post([this, ticket, receipt = std::move(receipt), result = std::move(result)]() mutable {
                    on_published(ticket, std::move(result), receipt.get());
                });
            });
    });
}

void Edge::on_published(Ticket ticket, board::PublishResult result, const Receipt* receipt) {
    --publishes_;
    if (Session* session = find(ticket)) {
        session->on_published(std::move(result), receipt);
    }
    if (draining_ && session_count_ == 0 && publishes_ == 0) {
        drain_timer_.start({});
    }
}

void Edge::resume(const Session& session, std::vector<std::string> boards, const hub::ResumePoint& point) {
    const hub::Form form = session.form();
    const Ticket ticket = ticket_of(session);
    if (too_many(questions_, session_count_)) {
        loop_.post([this, ticket] {
            if (Session* waiting = find(ticket)) {
                waiting->on_resumed({.failed = true});
            }
        });
        return;
    }
    ++questions_;
    auto done = [this, ticket, boards, form](hub::ResumeAnswer answer) {
        --questions_;
        if (Session* waiting = find(ticket)) {
            waiting->on_resumed(std::move(answer));
        } else if (answer.joined) {
            report_left(boards, form);
        }
    };
    services_.hub.resume({.shard = &shard_,
                          .form = form,
                          .boards = std::move(boards),
                          .point = point,
                          .slice_bytes = std::min(kSliceBytes, services_.slow_budget.reader_bytes() / 2),
                          .done = std::move(done)});
}

void Edge::report_left(const std::vector<std::string>& boards, hub::Form form) {
    if (boards.empty()) {
        services_.hub.report_leave(shard_, {}, form);
    }
    for (const std::string& board : boards) {
        services_.hub.report_leave(shard_, board, form);
    }
}

void Edge::read_past(const Session& session, std::string board, std::uint64_t before, std::size_t limit) {
    const Ticket ticket = ticket_of(session);
    if (too_many(questions_, session_count_)) {
        loop_.post([this, ticket] {
            if (Session* waiting = find(ticket)) {
                waiting->on_past(fail(Errc::overloaded, "too many questions to the hub"));
            }
        });
        return;
    }
    ++questions_;
    services_.hub.read_past(shard_, std::move(board), before, limit, [this, ticket](Result<hub::SharedPast> past) {
        --questions_;
        if (Session* waiting = find(ticket)) {
            waiting->on_past(std::move(past));
        }
    });
}

bool Edge::may_follow(std::string_view cursor) const {
    const auto read = board::parse_cursor(cursor);
    return read && (epoch_.empty() || read->position.epoch == epoch_);
}

std::chrono::milliseconds Edge::reconnect_delay() const {
    const auto least = static_cast<double>(options_.reconnect_initial_delay.count());
    return std::chrono::milliseconds(static_cast<std::int64_t>(least * (0.5 + random_unit())) + 1);
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
            leaving_.push_back(ticket_of(*places_[i].session));
        }
    }
    for (std::size_t left = leaving_.size(); left > 1; --left) {
        std::swap(leaving_[left - 1], leaving_[random_u64() % left]);
    }
    const auto slices = std::max<std::size_t>(1, static_cast<std::size_t>(grace / 2 / kLeaveInterval));
    leave_at_once_ = std::max(kLeaveAtOnce, leaving_.size() / slices + 1);
    drain_timer_.start(session_count_ == 0 && publishes_ == 0 ? std::chrono::nanoseconds(0) : grace);
    send_away();
}

void Edge::send_away() {
    for (std::size_t i = 0; i < leave_at_once_ && !leaving_.empty(); ++i) {
        const Ticket ticket = leaving_.back();
        leaving_.pop_back();
        if (Session* session = find(ticket)) {
            session->go_away();
        }
    }
    if (!leaving_.empty()) {
        leave_timer_.start(kLeaveInterval);
    }
}

void Edge::finish_drain() {
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (places_[i].session) {
            destroy(*places_[i].session);
        }
    }
    drain_timer_.stop();
    leave_timer_.stop();
    leaving_.clear();
    if (drained_) {
        std::exchange(drained_, nullptr)();
    }
}

}  // namespace boardbus::web

// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_connection.h"

#include <utility>

#include "base/random.h"
#include "transport/redis_cluster.h"

namespace boardbus::transport {
namespace {

// Whether this is still the master: asked without a hint, and how often hints count.
constexpr std::chrono::seconds kMasterCheckEvery{5};
constexpr std::chrono::seconds kMasterCheckMin{1};

// In RESP2 a message is a reply that nobody asked for, told from an answer only by its form.
bool is_message(const redisReply& reply) {
    return reply.type == REDIS_REPLY_ARRAY && reply.elements == 3 && reply.element[2]->type == REDIS_REPLY_STRING &&
           text_of(*reply.element[0]) == "message";
}

std::unique_ptr<RedisLocator> make_locator(Loop& loop, const RedisOptions& options) {
    if (!options.url.has_standby()) {
        return nullptr;
    }
    return std::make_unique<RedisLocator>(loop, options.url, slot_of(options.tagged("")), options.tls,
                                          options.connect_timeout / 2);
}

}  // namespace

RedisConnection::RedisConnection(Loop& loop, RedisOwner& owner, RedisOptions options)
    : loop_(loop),
      owner_(owner),
      options_(std::move(options)),
      server_(options_.url.endpoint),
      locator_(make_locator(loop, options_)),
      stream_(loop, *this, options_.tls),
      watch_(loop, [this] { on_timer(); }),
      backoff_(options_.reconnect_initial, options_.reconnect_max),
      retry_(loop, [this] { start(); }),
      master_check_(loop, [this] {
          master_check_.start(kMasterCheckEvery);
          check_master();
      }) {}

void RedisConnection::start() {
    if (!locator_) {
        return open();
    }
    locator_->ask([this](Result<Endpoint> master) {
        if (!master) {
            return on_closed(master.error());
        }
        server_ = std::move(*master);
        open();
    });
}

void RedisConnection::open() {
    stream_.open(server_, options_.connect_timeout);
}

void RedisConnection::check_master() {
    if (!locator_ || !up_ || locator_->is_asking() || loop_.now() - master_checked_ < kMasterCheckMin) {
        return;
    }
    master_checked_ = loop_.now();
    locator_->ask([this](const Result<Endpoint>& master) {
        if (up_ && master && *master != server_) {
            drop(Error{Errc::unavailable, to_text(server_) + ": the master is " + to_text(*master)});
        }
    });
}

void RedisConnection::send(const RedisCommands& commands, OnReplies done) {
    const std::string where = to_text(server_);
    if (!up_) {
        return done(fail(Errc::unavailable, reported_.empty() ? where + ": not connected yet" : reported_));
    }
    if (pending_.size() >= kPendingMax || stream_.unsent() >= kUnsentBytesMax) {
        return done(fail(Errc::overloaded, where + ": pipeline full: " + std::to_string(pending_.size()) +
                                               " requests, " + std::to_string(stream_.unsent()) + " bytes unsent"));
    }
    enqueue(commands, std::move(done));
}

void RedisConnection::enqueue(const RedisCommands& commands, OnReplies done) {
    if (pending_.empty()) {
        watch_.start(options_.reply_timeout);
    }
    pending_.push_back({.awaited = commands.count(), .replies = {}, .done = std::move(done)});
    pending_.back().replies.reserve(commands.count());
    stream_.write(commands.bytes());
}

void RedisConnection::on_open() {
    reader_ = std::make_unique<RedisReader>();
    log_in();
}

void RedisConnection::log_in() {
    const RedisUrl& url = options_.url;
    RedisCommands commands;
    if (!url.user.empty()) {
        commands.add({"AUTH", url.user, url.password});
    } else if (!url.password.empty()) {
        commands.add({"AUTH", url.password});
    }
    if (url.db != 0) {
        commands.add({"SELECT", std::to_string(url.db)});
    }
    if (locator_) {
        commands.add({"ROLE"});
    }
    commands.add({"CLIENT", "SETNAME", "boardbus"});
    enqueue(commands, [this](auto replies) {
        if (replies) {
            on_logged_in(*replies);
        }
    });
}

Result<void> RedisConnection::read_login(const std::vector<RedisReply>& replies) const {
    for (const RedisReply& reply : replies) {
        const std::string_view text = text_of(*reply);
        if (!is_error(*reply)) {
            continue;
        }
        const Error error = redis_error(text);
        // A user or a proxy may not name its connection; nothing depends on the name.
        const bool only_name = &reply == &replies.back() && (error.code == Errc::refused || text.starts_with("NOPERM"));
        if (!only_name) {
            // A server that does not know AUTH repeats its arguments.
            const std::string& password = options_.url.password;
            const bool tells = !password.empty() && error.detail.find(password) != std::string::npos;
            return fail(error.code, to_text(server_) + ": " + (tells ? "AUTH is refused" : error.detail));
        }
    }
    if (locator_) {
        const redisReply& role = *replies[replies.size() - 2];
        if (role.type != REDIS_REPLY_ARRAY || role.elements == 0 || text_of(*role.element[0]) != "master") {
            return fail(Errc::unavailable, to_text(server_) + ": not the master yet, or no longer");
        }
    }
    return {};
}

void RedisConnection::on_logged_in(const std::vector<RedisReply>& replies) {
    if (auto welcome = read_login(replies); !welcome) {
        return drop(std::move(welcome.error()));
    }
    up_ = true;
    up_since_ = loop_.now();
    if (locator_) {
        master_check_.start(kMasterCheckEvery);
    }
    reported_.clear();
    reconnects_ += ups_++ > 0 ? 1 : 0;
    owner_.on_redis_up();
}

void RedisConnection::on_bytes(std::string_view bytes) {
    const RedisReader* const connection = reader_.get();
    bool answered = false;  // A peer that sends a reply byte by byte answers nothing.
    Result<void> understood;
    reader_->feed(bytes);
    while (understood && connection == reader_.get()) {
        auto reply = reader_->next();
        if (reply && *reply == nullptr) {
            break;
        }
        answered = true;
        set_silent(false);
        understood = reply ? take(std::move(*reply)) : std::unexpected(reply.error());
    }
    if (!messages_.empty()) {
        owner_.on_redis_messages(std::exchange(messages_, {}));
    }
    if (connection != reader_.get()) {
        return;
    }
    if (!wrong_.empty()) {
        return drop(Error{Errc::unavailable, to_text(server_) + ": " + wrong_});
    }
    if (!understood) {
        return drop(Error{Errc::unavailable, to_text(server_) + ": " + understood.error().detail});
    }
    if (answered) {
        watch_.start(pending_.empty() ? options_.ping_interval : options_.reply_timeout);
    }
}

Result<void> RedisConnection::take(RedisReply reply) {
    if (is_message(*reply)) {
        messages_.push_back(std::move(reply));
        return {};
    }
    if (is_error(*reply)) {
        look_for_another_master(text_of(*reply));
    }
    if (pending_.empty()) {
        return fail(Errc::invalid, "a reply that nobody asked for: " + std::string(text_of(*reply).substr(0, 100)));
    }
    Pending& first = pending_.front();
    first.replies.push_back(std::move(reply));
    if (first.replies.size() == first.awaited) {
        Pending complete = std::move(first);
        pending_.pop_front();
        complete.done(std::move(complete.replies));
    }
    return {};
}

/// READONLY: the master has moved, and the name may lead to the new one; the old connection never would. MOVED: the slot is served
/// elsewhere. Whoever asked hears of an outage and asks again, there. ASK and TRYAGAIN come while a slot is on its way. A commit names keys
/// that do not exist yet, and such a call Redis refuses at both ends until the slot has arrived: so these, too, are outages, and the
/// connection stays.
void RedisConnection::look_for_another_master(std::string_view error) {
    if (error.starts_with("READONLY ")) {
        wrong_ = redis_error(error).detail;
    } else if (options_.url.is_cluster() && error.starts_with("MOVED ")) {
        if (auto node = moved_to(error, server_)) {
            locator_->hear_of(std::move(*node));
        }
        wrong_ = redis_error(error).detail;
    } else if (error.starts_with("NOREPLICAS ") || error.starts_with("CLUSTERDOWN ")) {
        check_master();
    }
}

void RedisConnection::on_timer() {
    if (pending_.empty()) {
        // Any answer will do, an error included.
        return enqueue(RedisCommands().add({"PING"}), [](auto) {});
    }
    if (up_ && !silent_ && options_.patience.count() > 0) {
        set_silent(true);
        watch_.start(options_.patience);
        return;
    }
    const std::string limit = std::to_string((options_.reply_timeout + options_.patience).count()) + " ms";
    drop(Error{Errc::timeout, to_text(server_) + ": no reply within " + limit});
}

void RedisConnection::set_silent(bool silent) {
    if (std::exchange(silent_, silent) != silent) {
        owner_.on_redis_silent(silent);
    }
}

void RedisConnection::drop(Error error) {
    stream_.close();
    on_closed(error);
}

void RedisConnection::on_closed(const Error& error) {
    reader_.reset();
    watch_.stop();
    master_check_.stop();
    silent_ = false;
    wrong_.clear();
    if (locator_) {
        locator_->stop();
        if (!up_) {
            locator_->distrust();
        }
    }
    // One that lasted and was lost is tried again at once; one that is refused, or is lost whenever it is made, must wait.
    const bool lasted = up_ && loop_.now() - up_since_ > options_.reconnect_initial;
    if (lasted) {
        backoff_.reset();
    }
    retry_.start(lasted ? std::chrono::milliseconds(0) : backoff_.next(random_unit()));
    const bool is_new = up_ || reported_ != error.detail;
    up_ = false;
    reported_ = error.detail;
    // Taken out first: whoever is told may send again, which fails at once.
    auto lost = std::exchange(pending_, {});
    for (Pending& pending : lost) {
        pending.done(fail(error.code == Errc::timeout ? Errc::timeout : Errc::unavailable, error.detail));
    }
    if (is_new) {
        owner_.on_redis_down(error);
    }
}

}  // namespace boardbus::transport

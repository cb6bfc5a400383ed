// One Redis connection that stays: it connects, logs in, pipelines, notices a dead peer and comes back by itself.
//
// Nothing waits for a server that is away: what is sent while the connection is down fails at once, and what was under way when it
// broke fails with it. A silent server is asked (PING) and then given up, because TCP alone would need minutes. With Sentinels or a cluster
// the master is looked up before every attempt and has to say itself that it is one; in a cluster it is that of one slot. A reply that says
// that this is the wrong server (READONLY, MOVED) ends the connection, so that the next one leads to the right one. Lives on the bus loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/loop.h"
#include "base/result.h"
#include "transport/redis_locator.h"
#include "transport/redis_protocol.h"
#include "transport/stream.h"
#include "transport/url.h"

namespace boardbus::transport {

struct RedisOptions {
    RedisUrl url;
    TlsOptions tls;
    std::chrono::milliseconds reconnect_initial{1500};
    std::chrono::milliseconds reconnect_max{10'000};
    std::chrono::milliseconds connect_timeout{5000};
    std::chrono::milliseconds reply_timeout{5000};
    std::chrono::milliseconds ping_interval{5000};  ///< Silence after which the server is asked whether it is there.
    /// How much longer than reply_timeout a server that was up may be silent. A frozen one that thaws goes on where it was, and a
    /// subscriber that kept its connection has missed nothing.
    std::chrono::milliseconds patience{0};
    /// In a cluster: what all keys that go over this connection have in braces, so that they are in one slot. Empty elsewhere.
    std::string hash_tag;

    /// The beginning of a key's name, with the hash tag behind it where there is one: `base`, `base:{tag}`.
    std::string tagged(std::string_view base) const {
        return hash_tag.empty() ? std::string(base) : std::string(base) + ":{" + hash_tag + "}";
    }
};

/// Who uses a RedisConnection. Any of these calls may send() or drop(), but must not destroy the connection.
class RedisOwner {
  public:
    /// Logged in; replies are flowing.
    virtual void on_redis_up() = 0;

    /// Lost, or not reached for a reason that is new: once per cause, not per attempt.
    virtual void on_redis_down(const Error& error) = 0;

    /// The server does not answer, but the connection is kept (RedisOptions::patience); or it speaks again.
    virtual void on_redis_silent(bool /*silent*/) {}

    /// Messages of the subscribed channels, in order: all that one read brought.
    virtual void on_redis_messages(const std::vector<RedisReply>& messages) = 0;

  protected:
    ~RedisOwner() = default;
};

class RedisConnection final : private StreamOwner {
  public:
    using OnReplies = std::move_only_function<void(Result<std::vector<RedisReply>>)>;

    // 4,096 pipelines and 64 MiB: far above what the prefetch lets happen, so reaching it means that the server does not read.
    static constexpr std::size_t kPendingMax = 4096;
    static constexpr std::size_t kUnsentBytesMax = std::size_t{64} << 20;

    RedisConnection(Loop& loop, RedisOwner& owner, RedisOptions options);
    /// Calls nobody: commands under way are forgotten.
    ~RedisConnection() = default;

    /// Begins to connect, at once, and never stops trying.
    void start();

    /// Sends `commands` in one piece; `done` gets their replies in order, error replies included. While the connection is down, or
    /// beyond the bounds above, it gets an Error at once.
    /// Errors: unavailable (down, lost), timeout (no reply in time), overloaded.
    void send(const RedisCommands& commands, OnReplies done);

    /// Gives up this connection for `error` and tries a new one.
    void drop(Error error);

    bool is_up() const { return up_; }

    /// Something hints that this server is no longer the master: asks Sentinels or cluster, if there are any, and drops the connection when
    /// they name another one. An old master that was only frozen takes writes until it is told. Not more often than once a second; without
    /// a hint it is asked every five seconds, because a master that is cut off from all others but us gives none.
    void check_master();

    /// How often it has come back.
    std::uint64_t reconnects() const { return reconnects_; }

  private:
    struct Pending {
        std::size_t awaited;
        std::vector<RedisReply> replies;
        OnReplies done;
    };

    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_closed(const Error& error) override;
    void open();
    void log_in();
    Result<void> read_login(const std::vector<RedisReply>& replies) const;
    void on_logged_in(const std::vector<RedisReply>& replies);
    void enqueue(const RedisCommands& commands, OnReplies done);
    Result<void> take(RedisReply reply);
    void look_for_another_master(std::string_view error);
    void on_timer();
    void set_silent(bool silent);

    Loop& loop_;
    RedisOwner& owner_;
    const RedisOptions options_;

    Endpoint server_;                        // That of the URL, or the master that was named last.
    std::unique_ptr<RedisLocator> locator_;  // None: the URL names the server.
    Stream stream_;
    std::unique_ptr<RedisReader> reader_;  // Lives as long as one connection, so that its address names it.
    std::deque<Pending> pending_;
    std::vector<RedisReply> messages_;
    bool up_ = false;
    Instant up_since_;
    std::string wrong_;    // Why this server is not ours any more: a replica's refusal, a cluster's redirection.
    bool silent_ = false;  // No reply in time, and patience has begun.
    Timer watch_;          // Due: with commands pending the server is dead, otherwise it is asked.

    Backoff backoff_;
    Timer retry_;
    Timer master_check_;
    Instant master_checked_{};  // When Sentinels or cluster were asked last.
    std::string reported_;      // The cause that the owner knows; empty: he thinks we are up, or nothing yet.
    std::uint64_t ups_ = 0;
    std::uint64_t reconnects_ = 0;
};

}  // namespace boardbus::transport

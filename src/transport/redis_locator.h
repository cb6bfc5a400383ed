// Who is the master now? Asked of Redis Sentinels, or of any node of a Redis Cluster, one after the other, before every connection.
//
// The first that names a master is believed and asked first the next time; whoever connects to that master still asks it for its ROLE,
// because who was asked may be behind. A cluster's node is believed only while it says that the cluster works, so that one that was cut off
// from the others does not lead back to itself. Lives on the bus loop.
// Spec: https://redis.io/docs/reference/sentinel-clients; Redis Cluster Specification, "Clients first connection and handling of redirections".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "transport/redis_protocol.h"
#include "transport/stream.h"
#include "transport/url.h"

namespace boardbus::transport {

class RedisLocator final : private StreamOwner {
  public:
    using Found = std::move_only_function<void(Result<Endpoint>)>;

    /// `slot` is the one whose master is looked for; Sentinels know of no slots. Each who is asked has `deadline` to be reached, and once
    /// more to answer.
    RedisLocator(Loop& loop, RedisUrl url, std::uint16_t slot, TlsOptions tls, std::chrono::milliseconds deadline);
    RedisLocator(const RedisLocator&) = delete;
    RedisLocator& operator=(const RedisLocator&) = delete;
    /// Calls nobody.
    ~RedisLocator() = default;

    /// Asks for the master; a question under way is forgotten. Errors: unavailable: nobody knows, and why the last one does not.
    void ask(Found found);

    bool is_asking() const { return found_ != nullptr; }

    /// Whom to ask first the next time: a node that another one pointed to.
    void hear_of(Endpoint node) { hint_ = std::move(node); }

    /// The server that was named last was none: whoever named it is asked last the next time. One Sentinel that is cut off from the
    /// others would lead back to a dead master for ever.
    void distrust();

    /// Forgets the question under way.
    void stop();

  private:
    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_closed(const Error& error) override;
    void try_next();
    void take_answer();
    Result<Endpoint> master_of_sentinel(const redisReply& reply) const;
    Result<Endpoint> master_of_cluster();
    void put_first(Endpoint server);
    void end_with(Result<Endpoint> answer);
    void give_up_this_one(const std::string& why);

    const RedisUrl url_;
    const std::uint16_t slot_;
    const std::chrono::milliseconds deadline_;
    Stream stream_;
    Timer timer_;
    // Those of the URL, and the nodes that a cluster named last; the one that answered last stands first. At most
    // 16 + 16 + 1.
    std::vector<Endpoint> servers_;
    std::vector<Endpoint> nodes_;  // Of the last answer of a cluster.
    std::optional<Endpoint> hint_;
    std::size_t next_ = 0;
    std::size_t awaited_ = 0;
    std::vector<RedisReply> replies_;  // The last ones are the answer.
    std::unique_ptr<RedisReader> reader_;
    std::string trouble_;
    Found found_;
};

}  // namespace boardbus::transport

// Who is the master now? Asked of Redis Sentinels, one after the other, before every connection.
//
// The first that names a master is believed and asked first the next time; whoever connects to that master still asks it for its ROLE,
// because a sentinel may be behind. Lives on the bus loop. Spec: https://redis.io/docs/reference/sentinel-clients.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "transport/redis_protocol.h"
#include "transport/stream.h"
#include "transport/url.h"

namespace boardbus::transport {

class RedisSentinels final : private StreamOwner {
  public:
    using Found = std::move_only_function<void(Result<Endpoint>)>;

    /// Each sentinel has `deadline` to be reached, and once more to answer.
    RedisSentinels(Loop& loop, RedisUrl url, TlsOptions tls, std::chrono::milliseconds deadline);
    RedisSentinels(const RedisSentinels&) = delete;
    RedisSentinels& operator=(const RedisSentinels&) = delete;
    /// Calls nobody.
    ~RedisSentinels() = default;

    /// Asks for the master; a question under way is forgotten. Errors: unavailable: no sentinel knows, and why the last one does not.
    void ask(Found found);

    /// Forgets the question under way.
    void stop();

  private:
    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_closed(const Error& error) override;
    void try_next();
    void take_answer(const redisReply& reply);
    void end_with(Result<Endpoint> answer);
    void give_up_this_one(const std::string& why);

    const RedisUrl url_;
    const std::chrono::milliseconds deadline_;
    Stream stream_;
    Timer timer_;
    std::vector<Endpoint> sentinels_;  // Those of the URL; the one that answered last stands first.
    std::size_t next_ = 0;
    std::size_t awaited_ = 0;  // Replies before the answer, which is the last one.
    std::unique_ptr<RedisReader> reader_;
    std::string trouble_;
    Found found_;
};

}  // namespace boardbus::transport

// RESP2: commands to bytes, bytes to replies, errors to meanings. No sockets.
//
// The parser is hiredis' redisReader, with the bounds that it lacks: on the size of a reply and on the elements that one announces.
// Spec: https://redis.io/docs/reference/protocol-spec (RESP2).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hiredis/hiredis.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace boardbus::transport {

// 16 MiB: the largest event (1 MiB of text, escaped) many times over.
inline constexpr std::size_t kRedisReplyBytesMax = std::size_t{16} << 20;
// Our largest reply has one element for each command of a batch.
inline constexpr std::size_t kRedisReplyElementsMax = 65536;

struct FreeRedisReply {
    void operator()(redisReply* reply) const { ::freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

inline std::string_view text_of(const redisReply& reply) {
    const bool has_text =
        reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS || reply.type == REDIS_REPLY_ERROR;
    return has_text ? std::string_view(reply.str, static_cast<std::size_t>(reply.len)) : std::string_view();
}

inline bool is_error(const redisReply& reply) {
    return reply.type == REDIS_REPLY_ERROR;
}

/// What an error reply means: unavailable when the server cannot serve now or does not let us in (nobody's command is at fault),
/// refused when it would answer this command so again.
Error redis_error(std::string_view text);

/// Commands that are sent together and whose replies come together.
class RedisCommands {
  public:
    RedisCommands& add(std::initializer_list<std::string_view> words);

    const std::string& bytes() const { return bytes_; }
    std::size_t count() const { return count_; }

  private:
    std::string bytes_;
    std::size_t count_ = 0;
};

class RedisReader {
  public:
    RedisReader();
    RedisReader(const RedisReader&) = delete;
    RedisReader& operator=(const RedisReader&) = delete;

    /// Takes bytes as they came.
    void feed(std::string_view bytes);

    /// The next complete reply; null when there is none yet. After an error there is nothing more to read.
    /// Errors: invalid (no RESP2, or over a bound).
    Result<RedisReply> next();

  private:
    struct FreeReader {
        void operator()(redisReader* reader) const { ::redisReaderFree(reader); }
    };
    static void* create_array(const redisReadTask* task, int elements);

    redisReplyObjectFunctions functions_;
    std::unique_ptr<redisReader, FreeReader> reader_;
    std::size_t reply_bytes_ = 0;     // Fed since the last complete reply.
    std::size_t reply_elements_ = 0;  // Announced by the reply under way.
};

}  // namespace boardbus::transport

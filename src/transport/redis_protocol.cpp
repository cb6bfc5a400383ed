// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <new>
#include <utility>

namespace boardbus::transport {
namespace {

// Idle, the reader keeps at most this much.
constexpr std::size_t kKeptBufferBytes = std::size_t{1} << 20;

// Of an error, this much is kept: it goes into logs and reasons.
constexpr std::size_t kReasonBytesMax = 300;

constexpr std::array<std::string_view, 18> kUnavailable{
    "LOADING",    "READONLY", "OOM",       "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "BUSY", "TRYAGAIN",
    "UNKILLABLE", "NOAUTH",   "WRONGPASS", "NOPERM",     "NOSCRIPT",   "EXECABORT",   "MOVED",   "ASK",  "CROSSSLOT"};

// What stands around a word at most: `$`, twenty digits, and two line ends.
constexpr std::size_t kAroundWord = 25;

/// Writes `$12\r\n`. Returns the place behind it.
char* write_header(char* out, char kind, std::size_t number) {
    *out++ = kind;
    out = std::to_chars(out, out + 20, number).ptr;
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

}  // namespace

Error redis_error(std::string_view text) {
    // EXEC names the error that it stands for: `EXECABORT Transaction discarded because of: OOM command not allowed ...`.
    constexpr std::string_view kBecause = "discarded because of: ";
    std::string_view cause = text;
    if (const auto at = text.find(kBecause); text.starts_with("EXECABORT") && at != text.npos) {
        cause.remove_prefix(at + kBecause.size());
    }
    // A command that is not known, or is wrong, is repeated with its arguments: somebody's message, or a password.
    cause = cause.substr(0, cause.find(", with args beginning with"));
    const std::string_view code = cause.substr(0, cause.find(' '));
    // What a script may not do, Redis 7 says without a code of its own: on a replica, in a cluster that is down or is moving the slot.
    // CROSSSLOT: a node of a cluster by a URL of a single server.
    const bool away =
        std::ranges::find(kUnavailable, code) != kUnavailable.end() || cause.starts_with("ERR max number of clients") ||
        cause.starts_with("ERR The user executing the script") || cause.starts_with("ERR Script attempted to ") ||
        cause.starts_with("ERR Unable to execute command");
    return Error{away ? Errc::unavailable : Errc::refused, std::string(cause.substr(0, kReasonBytesMax))};
}

RedisCommands& RedisCommands::add(std::initializer_list<std::string_view> words) {
    const std::size_t begin = bytes_.size();
    std::size_t most = begin + kAroundWord;
    for (const std::string_view word : words) {
        most += kAroundWord + word.size();
    }
    bytes_.resize_and_overwrite(most, [&](char* bytes, std::size_t) {
        char* end = write_header(bytes + begin, '*', words.size());
        for (const std::string_view word : words) {
            end = write_header(end, '$', word.size());
            end += word.copy(end, word.size());
            *end++ = '\r';
            *end++ = '\n';
        }
        return end - bytes;
    });
    ++count_;
    return *this;
}

RedisReader::RedisReader() : reader_(::redisReaderCreate()) {
    if (!reader_) {
        throw std::bad_alloc();
    }
    functions_ = *reader_->fn;
    functions_.createArray = &create_array;
    reader_->fn = &functions_;
    reader_->privdata = this;
    reader_->maxbuf = kKeptBufferBytes;
}

void RedisReader::feed(std::string_view bytes) {
    reply_bytes_ += bytes.size();
    ::redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
}

Result<RedisReply> RedisReader::next() {
    void* raw = nullptr;
    if (::redisReaderGetReply(reader_.get(), &raw) != REDIS_OK) {
        return fail(Errc::invalid, "not understood: " + std::string(reader_->errstr));
    }
    if (raw != nullptr) {
        reply_elements_ = 0;
        reply_bytes_ = reader_->len - reader_->pos;
    } else if (reply_bytes_ > kRedisReplyBytesMax) {
        return fail(Errc::invalid, "reply over " + std::to_string(kRedisReplyBytesMax) + " bytes");
    }
    return RedisReply(static_cast<redisReply*>(raw));
}

void* RedisReader::create_array(const redisReadTask* task, int elements) {
    auto& self = *static_cast<RedisReader*>(task->privdata);
    self.reply_elements_ += static_cast<std::size_t>(std::max(elements, 0));
    if (self.reply_elements_ > kRedisReplyElementsMax) {
        return nullptr;  // Ends the reader with its "out of memory".
    }
    static const redisReplyObjectFunctions kDefaults = [] {
        const std::unique_ptr<redisReader, FreeReader> reader(::redisReaderCreate());
        return *reader->fn;
    }();
    return kDefaults.createArray(task, elements);
}

}  // namespace boardbus::transport

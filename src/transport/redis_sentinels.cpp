// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_sentinels.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace boardbus::transport {

RedisSentinels::RedisSentinels(Loop& loop, RedisUrl url, TlsOptions tls, std::chrono::milliseconds deadline)
    : url_(std::move(url)),
      deadline_(deadline),
      stream_(loop, *this, std::move(tls)),
      timer_(loop, [this] { give_up_this_one("no answer in time"); }),
      sentinels_(url_.sentinels) {}

void RedisSentinels::ask(Found found) {
    stop();
    found_ = std::move(found);
    next_ = 0;
    try_next();
}

void RedisSentinels::stop() {
    stream_.close();
    timer_.stop();
    reader_.reset();
    found_ = nullptr;
}

void RedisSentinels::try_next() {
    if (next_ == sentinels_.size()) {
        return end_with(fail(Errc::unavailable, trouble_));
    }
    stream_.open(sentinels_[next_++], deadline_);
}

void RedisSentinels::on_open() {
    reader_ = std::make_unique<RedisReader>();
    RedisCommands commands;
    // One password for sentinels and master; a sentinel without one complains about it, and answers all the same.
    if (!url_.user.empty()) {
        commands.add({"AUTH", url_.user, url_.password});
    } else if (!url_.password.empty()) {
        commands.add({"AUTH", url_.password});
    }
    commands.add({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url_.master});
    awaited_ = commands.count();
    stream_.write(commands.bytes());
    timer_.start(deadline_);
}

void RedisSentinels::on_bytes(std::string_view bytes) {
    reader_->feed(bytes);
    while (awaited_ > 0) {
        auto reply = reader_->next();
        if (!reply) {
            return give_up_this_one(reply.error().detail);
        }
        if (*reply == nullptr) {
            return;
        }
        if (--awaited_ == 0) {
            return take_answer(**reply);
        }
    }
}

void RedisSentinels::take_answer(const redisReply& reply) {
    if (reply.type == REDIS_REPLY_NIL) {
        return give_up_this_one("knows no master named " + url_.master);
    }
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) {
        return give_up_this_one(is_error(reply) ? std::string(text_of(reply)) : "answers with something else");
    }
    const std::string_view port = text_of(*reply.element[1]);
    Endpoint master{.host = std::string(text_of(*reply.element[0])), .port = 0, .tls = sentinels_[next_ - 1].tls};
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), master.port);
    if (error != std::errc() || end != port.data() + port.size() || master.port == 0 || master.host.empty()) {
        return give_up_this_one("names no address");
    }
    std::rotate(sentinels_.begin(), sentinels_.begin() + static_cast<std::ptrdiff_t>(next_ - 1),
                sentinels_.begin() + static_cast<std::ptrdiff_t>(next_));
    end_with(std::move(master));
}

void RedisSentinels::on_closed(const Error& error) {
    give_up_this_one(error.detail);
}

void RedisSentinels::give_up_this_one(const std::string& why) {
    stream_.close();
    timer_.stop();
    reader_.reset();
    trouble_ = "sentinel " + to_text(sentinels_[next_ - 1]) + ": " + why;
    try_next();
}

void RedisSentinels::end_with(Result<Endpoint> answer) {
    Found found = std::exchange(found_, nullptr);
    stop();
    found(std::move(answer));
}

}  // namespace boardbus::transport

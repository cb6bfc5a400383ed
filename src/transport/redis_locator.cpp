// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_locator.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "transport/redis_cluster.h"

namespace boardbus::transport {

RedisLocator::RedisLocator(Loop& loop, RedisUrl url, std::uint16_t slot, TlsOptions tls,
                           std::chrono::milliseconds deadline)
    : url_(std::move(url)),
      slot_(slot),
      deadline_(deadline),
      stream_(loop, *this, std::move(tls)),
      timer_(loop, [this] { give_up_this_one("no answer in time"); }),
      servers_(url_.is_cluster() ? url_.cluster : url_.sentinels) {}

void RedisLocator::ask(Found found) {
    stop();
    if (hint_) {
        put_first(*std::exchange(hint_, std::nullopt));
    }
    found_ = std::move(found);
    next_ = 0;
    try_next();
}

void RedisLocator::distrust() {
    std::ranges::rotate(servers_, servers_.begin() + 1);
}

void RedisLocator::stop() {
    stream_.close();
    timer_.stop();
    reader_.reset();
    replies_.clear();
    found_ = nullptr;
}

void RedisLocator::try_next() {
    if (next_ == servers_.size()) {
        return end_with(fail(Errc::unavailable, trouble_));
    }
    stream_.open(servers_[next_++], deadline_);
}

void RedisLocator::on_open() {
    reader_ = std::make_unique<RedisReader>();
    replies_.clear();
    RedisCommands commands;
    // One password for all; a Sentinel without one complains about it, and answers all the same.
    if (!url_.user.empty()) {
        commands.add({"AUTH", url_.user, url_.password});
    } else if (!url_.password.empty()) {
        commands.add({"AUTH", url_.password});
    }
    if (url_.is_cluster()) {
        commands.add({"CLUSTER", "INFO"}).add({"CLUSTER", "SLOTS"});
    } else {
        commands.add({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", url_.master});
    }
    awaited_ = commands.count();
    stream_.write(commands.bytes());
    timer_.start(deadline_);
}

void RedisLocator::on_bytes(std::string_view bytes) {
    reader_->feed(bytes);
    while (true) {
        auto reply = reader_->next();
        if (!reply) {
            return give_up_this_one(reply.error().detail);
        }
        if (*reply == nullptr) {
            return;
        }
        replies_.push_back(std::move(*reply));
        if (replies_.size() == awaited_) {
            return take_answer();
        }
    }
}

void RedisLocator::take_answer() {
    auto master = url_.is_cluster() ? master_of_cluster() : master_of_sentinel(*replies_.back());
    if (!master) {
        return give_up_this_one(master.error().detail);
    }
    put_first(servers_[next_ - 1]);
    end_with(std::move(*master));
}

Result<Endpoint> RedisLocator::master_of_sentinel(const redisReply& reply) const {
    if (reply.type == REDIS_REPLY_NIL) {
        return fail(Errc::unavailable, "knows no master named " + url_.master);
    }
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) {
        return fail(Errc::unavailable, is_error(reply) ? std::string(text_of(reply)) : "answers with something else");
    }
    const std::string_view port = text_of(*reply.element[1]);
    Endpoint master{.host = std::string(text_of(*reply.element[0])), .port = 0, .tls = servers_[next_ - 1].tls};
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), master.port);
    if (error != std::errc() || end != port.data() + port.size() || master.port == 0 || !is_host(master.host)) {
        return fail(Errc::unavailable, "names no address");
    }
    return master;
}

Result<Endpoint> RedisLocator::master_of_cluster() {
    const redisReply& info = *replies_[replies_.size() - 2];
    if (is_error(info)) {
        return fail(Errc::unavailable, std::string(text_of(info)));
    }
    if (!is_cluster_ok(info)) {
        return fail(Errc::unavailable, "says that the cluster is down");
    }
    auto view = read_cluster_slots(*replies_.back(), slot_, servers_[next_ - 1]);
    if (!view) {
        return std::unexpected(view.error());
    }
    nodes_ = std::move(view->nodes);
    return std::move(view->master);
}

/// Sentinels are those of the URL; a cluster may have outlived all that it names.
void RedisLocator::put_first(Endpoint server) {
    std::vector<Endpoint> servers{std::move(server)};
    const std::vector<Endpoint>& given = url_.is_cluster() ? url_.cluster : url_.sentinels;
    for (const auto* more : {&std::as_const(nodes_), &given}) {
        for (const Endpoint& one : *more) {
            if (std::ranges::find(servers, one) == servers.end()) {
                servers.push_back(one);
            }
        }
    }
    servers_ = std::move(servers);
}

void RedisLocator::on_closed(const Error& error) {
    give_up_this_one(error.detail);
}

void RedisLocator::give_up_this_one(const std::string& why) {
    stream_.close();
    timer_.stop();
    reader_.reset();
    trouble_ = (url_.is_cluster() ? "cluster node " : "sentinel ") + to_text(servers_[next_ - 1]) + ": " + why;
    try_next();
}

void RedisLocator::end_with(Result<Endpoint> answer) {
    Found found = std::exchange(found_, nullptr);
    stop();
    found(std::move(answer));
}

}  // namespace boardbus::transport

// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_feed.h"

#include <string_view>
#include <utility>

#include "board/activity.h"
#include "telemetry/log.h"

namespace boardbus::transport {
namespace {

using namespace std::chrono_literals;

// A lost message is found within 750 + 200 ms: the second look lets one arrive that was on its way at the first.
constexpr auto kLookEvery = 750ms;
constexpr auto kLookAgain = 200ms;
constexpr auto kAskAgain = 250ms;
constexpr std::size_t kPageEvents = 512;

RedisOptions patient(RedisOptions options) {
    // Where somebody else takes over from a frozen server, waiting for it is wrong.
    options.patience = options.url.has_standby() ? 0s : 25s;
    return options;
}

}  // namespace

RedisFeed::RedisFeed(Loop& loop, RedisOptions redis, std::string channel, board::ActivitySink& sink,
                     telemetry::Metrics& metrics, OnState on_state)
    : channel_(std::move(channel)),
      sink_(sink),
      metrics_(metrics),
      on_state_(std::move(on_state)),
      follower_(sink),
      ask_again_(loop, [this] { ask(follower_.ask_again()); }),
      look_(loop, [this] { look(); }),
      look_again_(loop, [this] { look_again(); }),
      connection_(loop, *this, patient(redis)),
      history_(loop, redis, channel_, [this](const Result<void>& up) { on_history(up); }) {}

void RedisFeed::start() {
    connection_.start();
    history_.start();
    look_.start(kLookEvery);
}

void RedisFeed::on_redis_up() {
    connection_.send(RedisCommands().add({"SUBSCRIBE", channel_}), [this](Result<std::vector<RedisReply>> replies) {
        if (!replies) {
            return;  // on_redis_down() tells.
        }
        const redisReply& reply = *replies->front();
        if (reply.type != REDIS_REPLY_ARRAY) {
            Error error = redis_error(text_of(reply));
            return connection_.drop(Error{error.code, "SUBSCRIBE " + channel_ + ": " + error.detail});
        }
        subscribed_ = true;
        ask(follower_.on_subscribed());
    });
}

void RedisFeed::on_redis_down(const Error& error) {
    subscribed_ = false;
    silent_ = false;
    tell_away(error);
}

void RedisFeed::on_redis_silent(bool silent) {
    silent_ = silent;
    if (silent) {
        tell_away({Errc::timeout, "no reply, still subscribed"});
    } else {
        tell_live();
    }
}

void RedisFeed::on_redis_messages(const std::vector<RedisReply>& messages) {
    std::vector<board::ActivityView> activities;
    activities.reserve(messages.size());
    for (const RedisReply& message : messages) {
        if (auto activity = board::parse_activity(text_of(*message->element[2]))) {
            activities.push_back(std::move(*activity));
        } else {
            metrics_.unreadable_event();
        }
    }
    const auto next = follower_.on_messages(std::move(activities));
    if (next != ActivityFollower::Ask::nothing) {
        ask(next);
    }
}

void RedisFeed::on_history(const Result<void>& up) {
    if (up) {
        // It may have moved to another master; a subscription to the old one would go on in silence.
        connection_.check_master();
    }
    if (!up && !follower_.is_live()) {
        tell_away(up.error());
    } else if (up && subscribed_ && !follower_.is_live()) {
        ask(follower_.ask_again());
    }
}

void RedisFeed::ask(ActivityFollower::Ask what) {
    ask_again_.stop();
    const std::uint64_t question = ++question_;
    const auto take = [this, question](const auto& answer, auto tell) {
        if (question != question_ || !subscribed_) {
            return;  // The next time subscribed begins anew.
        }
        if (answer) {
            ask(tell());
        } else {
            on_no_answer(answer.error());
        }
    };
    switch (what) {
        case ActivityFollower::Ask::nothing:
            report();
            return tell_live();
        case ActivityFollower::Ask::tail:
            return history_.read_tail([this, take](const Result<HistoryTail>& tail) {
                take(tail, [&] { return follower_.on_tail(*tail); });
            });
        case ActivityFollower::Ask::page:
            return history_.read_all_after(follower_.page_after(), kPageEvents,
                                           [this, take](Result<board::HistoryPage> page) {
                                               take(page, [&] { return follower_.on_page(std::move(*page)); });
                                           });
    }
}

void RedisFeed::on_no_answer(const Error& error) {
    tell_away(error);
    if (history_.is_up()) {
        ask_again_.start(kAskAgain);
    }
}

/// Pub/sub tells of a lost message only by the next one; the end of the log tells at once.
void RedisFeed::look() {
    look_.start(kLookEvery);
    if (const auto foreign = follower_.counts().foreign; foreign > foreign_told_) {
        telemetry::log(telemetry::Level::warn, "foreign_history",
                       {{"messages", static_cast<std::int64_t>(foreign - std::exchange(foreign_told_, foreign))}});
    }
    if (!follower_.is_live() || !subscribed_ || !history_.is_up()) {
        return;
    }
    history_.read_tail([this, question = question_, pos = follower_.pos()](const Result<HistoryTail>& tail) {
        if (!tail || question != question_ || !follower_.is_live() || !subscribed_) {
            return;
        }
        const auto seen = follower_.look_at(*tail, pos);
        if (seen.other_history) {
            ask(follower_.repair());
        } else if (seen.newest > follower_.pos()) {
            behind_ = seen.newest;
            look_again_.start(kLookAgain);
        }
    });
}

void RedisFeed::look_again() {
    if (follower_.is_live() && subscribed_ && follower_.pos() < behind_) {
        ask(follower_.repair());
    }
}

void RedisFeed::report() {
    const auto& now = follower_.counts();
    const auto since = std::exchange(reported_, now);
    metrics_.history_repairs(now.repairs - since.repairs);
    metrics_.history_gap_filled(now.repaired - since.repaired);
    metrics_.history_breaks(telemetry::HistoryBreak::replaced, now.replaced - since.replaced);
    metrics_.history_breaks(telemetry::HistoryBreak::trimmed, now.trimmed - since.trimmed);
    if (now.repairs != since.repairs) {
        telemetry::log(telemetry::Level::info, "history_read",
                       {{"events", static_cast<std::int64_t>(now.repaired - since.repaired)},
                        {"pos", static_cast<std::int64_t>(follower_.pos())}});
    }
}

void RedisFeed::tell_live() {
    if (live_ || silent_ || !subscribed_ || !follower_.is_live()) {
        return;
    }
    live_ = true;
    away_.clear();
    sink_.on_live(true);
    on_state_({});
}

void RedisFeed::tell_away(const Error& error) {
    if (std::exchange(live_, false)) {
        sink_.on_live(false);
    } else if (away_ == error.detail) {
        return;
    }
    away_ = error.detail;
    on_state_(std::unexpected(error));
}

}  // namespace boardbus::transport

// Bus, feed and a third party around a real redis-server that the test starts. SKIPPED where there is none.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/redis_bus.h"
#include "transport/redis_feed.h"
#include "transport/redis_server.h"

namespace boardbus::transport {

using namespace std::chrono_literals;

/// Notes what a feed shows.
class SeenEvents final : public board::ActivitySink {
  public:
    void on_activities(std::vector<board::ActivityView> activities) override {
        for (board::ActivityView& activity : activities) {
            actions.push_back(activity.action);
            views.push_back(std::move(activity));
        }
    }
    void on_break(board::HistoryBreak cause) override { breaks.push_back(std::move(cause)); }
    void on_begin(std::string, std::uint64_t) override {}
    void on_live(bool live) override { lives.push_back(live); }

    /// The actions without those of events that came again after a break: a failover forgot them, and they were committed anew.
    std::vector<std::string> first_actions() const {
        std::vector<std::string> first;
        for (const board::ActivityView& view : views) {
            const bool again = std::ranges::find(first, view.action) != first.end();
            if (!again || breaks.empty()) {
                first.push_back(view.action);
            }
        }
        return first;
    }

    std::vector<std::string> actions;
    std::vector<board::ActivityView> views;
    std::vector<board::HistoryBreak> breaks;
    std::vector<bool> lives;
};

class LiveRedis : public testing::Test {
  protected:
    using Status = board::CommitResult::Status;

    void SetUp() override {
        if (!find_program("redis-server")) {
            GTEST_SKIP() << "SKIPPED: no redis-server in PATH";
        }
    }

    RedisOptions redis() const {
        RedisOptions options;
        options.url.endpoint = {.host = "127.0.0.1", .port = server_.port()};
        options.reconnect_initial = 20ms;
        options.reconnect_max = 50ms;
        options.reply_timeout = reply_timeout_;
        return options;
    }

    RedisBusOptions bus_options(HistoryBounds history = {}) const {
        return {.redis = redis(), .prefix = "p", .ttl = 100s, .channel = "ch", .history = history};
    }

    void bring_up(HistoryBounds history = {}, const std::vector<std::string>& server_words = {}) {
        server_.start(server_words);
        bus_ = std::make_unique<RedisBus>(loop_, bus_options(history), [](const Result<void>&) {});
        feed_ = std::make_unique<RedisFeed>(loop_, redis(), "ch", seen_, metrics_, [](const Result<void>&) {});
        client_ = std::make_unique<RedisClient>(loop_, redis());
        bus_->start();
        feed_->start();
        run_until([this] { return bus_->is_up() && feed_->is_live(); });
    }

    template <typename Condition>
    void run_until(Condition condition, std::chrono::seconds longest = 10s) {
        const auto deadline = std::chrono::steady_clock::now() + longest;
        while (!condition() && std::chrono::steady_clock::now() < deadline) {
            loop_.turn(20ms);
        }
        ASSERT_TRUE(condition());
    }

    /// Turns the loop for `time`: for what must not happen.
    void run_for(std::chrono::milliseconds time) {
        const auto end = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < end) {
            loop_.turn(20ms);
        }
    }

    /// The event's action is its key.
    static board::CommitRequest request(std::string key, std::string fingerprint = "aaaaaaaaaaaaaaaa",
                                        std::string board = "b") {
        return {.idempotency_key = key,
                .fingerprint = std::move(fingerprint),
                .event_id = "id-" + key,  // Each event has its own, whatever its key is.
                .board_id = board,
                .activity = R"({"id":"id-)" + key + R"(","board":")" + board + R"(","action":")" + key + "\"}",
                .published_at = {}};
    }

    std::vector<Status> commit_on(RedisBus& bus, std::vector<board::CommitRequest> batch) {
        std::optional<std::vector<Status>> statuses;
        bus.commit(std::move(batch), [&](std::vector<board::CommitResult> results) {
            statuses.emplace();
            details_.clear();
            for (const auto& result : results) {
                statuses->push_back(result.status);
                details_ += result.detail + "\n";
            }
        });
        run_until([&] { return statuses.has_value(); });
        return statuses.value_or(std::vector<Status>{});
    }
    std::vector<Status> commit(std::vector<board::CommitRequest> batch) { return commit_on(*bus_, std::move(batch)); }

    /// Commits k<from> to k<to - 1>, again and again until Redis has them.
    void commit_surely(int from, int to) {
        std::vector<board::CommitRequest> batch;
        for (int i = from; i < to; ++i) {
            batch.push_back(request("k" + std::to_string(i)));
        }
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (testing::Value(commit(batch), testing::Contains(Status::unavailable))) {
            ASSERT_LT(std::chrono::steady_clock::now(), deadline) << details_;
            loop_.turn(10ms);
        }
    }

    static std::vector<std::string> names(int from, int to) {
        std::vector<std::string> all;
        for (int i = from; i < to; ++i) {
            all.push_back("k" + std::to_string(i));
        }
        return all;
    }

    board::HistoryPage page_after(std::uint64_t after) {
        std::optional<board::HistoryPage> page;
        feed_->history().read_all_after(after, 1000,
                                        [&](Result<board::HistoryPage> read) { page = std::move(read).value(); });
        run_until([&] { return page.has_value(); });
        return page.value_or(board::HistoryPage{});
    }

    std::optional<Error> probe() {
        std::optional<Result<void>> outcome;
        bus_->probe([&](Result<void> result) { outcome = std::move(result); });
        run_until([&] { return outcome.has_value(); });
        return *outcome ? std::nullopt : std::optional(outcome->error());
    }

    /// Long, so that a pause of the machine is no silence. Short where the server is to be found silent.
    std::chrono::milliseconds reply_timeout_{5000};
    Loop loop_;
    RedisServer server_;
    telemetry::Metrics metrics_;
    SeenEvents seen_;
    std::unique_ptr<RedisBus> bus_;
    std::unique_ptr<RedisFeed> feed_;
    std::unique_ptr<RedisClient> client_;
    std::string details_;
};

}  // namespace boardbus::transport

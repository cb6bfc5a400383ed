// A delivery pump between a bus and a source that do as the test says.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "board/envelope.h"
#include "board/message.h"
#include "transport/delivery_pump.h"

namespace boardbus::transport {

using board::CommitResult;
using board::Verdict;

/// Answers commits with what the test has laid out, or `fresh`; keeps them until asked when `late`.
struct FakeBus final : board::ActivityBus {
    void commit(std::vector<board::CommitRequest> batch, CommitDone done) override {
        std::vector<CommitResult> results;
        batches.emplace_back();
        for (const auto& request : batch) {
            batches.back().push_back(request.board_id);
            results.push_back(
                CommitResult{away ? CommitResult::Status::unavailable : answers[request.board_id], "why"});
        }
        answer(std::move(done), std::move(results));
    }
    void probe(std::move_only_function<void(Result<void>)> done) override {
        ++probes;
        done(away ? Result<void>(fail(Errc::unavailable, "refused")) : Result<void>());
    }
    void count_attempt(const std::string& id, std::move_only_function<void(Result<std::int64_t>)> done) override {
        attempts[id] += away || no_count || std::exchange(begun[id], true) ? 0 : 1;
        done(away || counts_lost-- > 0 ? Result<std::int64_t>(fail(Errc::unavailable, "refused"))
             : no_count                ? Result<std::int64_t>(fail(Errc::refused, "no integer"))
                                       : Result<std::int64_t>(attempts[id]));
    }
    void forget_attempts(const std::string& id) override {
        attempts.erase(id);
        begun.erase(id);
    }

    void take_back_attempt(const std::string& id) override { attempts[id] -= std::exchange(begun[id], false) ? 1 : 0; }

    void answer(CommitDone done, std::vector<CommitResult> results) {
        if (late) {
            waiting.push_back(
                [done = std::move(done), results = std::move(results)]() mutable { done(std::move(results)); });
        } else {
            done(std::move(results));
        }
    }

    std::map<std::string, CommitResult::Status> answers;
    std::map<std::string, std::int64_t> attempts;
    std::map<std::string, bool> begun;  // Whether this worker is among them.
    int counts_lost = 0;                // So many counts are made, and the answer is lost.
    std::vector<std::vector<std::string>> batches;
    std::vector<Task> waiting;
    bool away = false;
    bool no_count = false;
    bool late = false;
    int probes = 0;

    FakeBus() = default;
    explicit FakeBus(std::map<std::string, CommitResult::Status> laid_out) : answers(std::move(laid_out)) {}
};

struct FakeSource final : board::DeliverySource {
    void start(board::DeliverySink& to) override {
        sink = &to;
        ++starts;
    }
    void release() override {
        ++releases;
        if (!slow) {
            sink->on_source_reset();
        }
    }
    void settle(std::uint64_t tag, Verdict verdict) override {
        const bool copied = verdict.kind != Verdict::Kind::ack && !slow;
        settled.emplace_back(tag, std::move(verdict));
        if (copied) {
            sink->on_copied(tag);
        }
    }

    std::vector<std::uint64_t> settled_tags() const {
        std::vector<std::uint64_t> tags;
        for (const auto& [tag, verdict] : settled) {
            tags.push_back(tag);
        }
        return tags;
    }

    board::DeliverySink* sink = nullptr;
    std::vector<std::pair<std::uint64_t, Verdict>> settled;
    int starts = 0;
    int releases = 0;
    bool slow = false;  // Takes its time to give things back, and for copies.
};

inline board::Delivery delivery(std::uint64_t tag, const std::string& board, std::int64_t retries = 0) {
    const auto message = board::parse_board_message(R"({"action":"a"})");
    auto sealed =
        board::seal(*message, board, "event-" + std::to_string(tag), "key-" + std::to_string(tag), wall_now());
    return {.tag = tag,
            .body = std::move(sealed.body),
            .message_id = sealed.event_id,
            .retry_count = retries,
            .redelivered = false};
}

struct PumpTest : testing::Test {
    std::vector<board::Delivery> three() { return {delivery(1, "b1"), delivery(2, "b2"), delivery(3, "b3")}; }

    void start() {
        pump.start();
        ASSERT_EQ(source.starts, 1);
    }

    Loop loop;
    telemetry::Metrics metrics;
    FakeBus bus{{{"b1", CommitResult::Status::fresh},
                 {"b2", CommitResult::Status::fresh},
                 {"b3", CommitResult::Status::fresh}}};
    FakeSource source;
    DeliveryPump pump{
        loop,
        bus,
        source,
        metrics,
        {.retry = {.delay_first = std::chrono::seconds(1), .delay_max = std::chrono::seconds(60), .retries_max = 5},
         .hold_initial = std::chrono::milliseconds(1),
         .hold_most = std::chrono::milliseconds(2)}};
};

}  // namespace boardbus::transport

// A hub with a history, and readers who come back to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hub/fake_history.h"
#include "hub/follower.h"
#include "hub/hub.h"

namespace boardbus::hub {

/// Its process has not found its bus yet.
class NoPlaceTest : public testing::Test {
  protected:
    NoPlaceTest() {
        hub.add_shard(shard);
        hub.set_history(history);
    }

    /// An event that the process sees.
    board::ActivityView show(std::string_view board, std::string_view action) {
        auto event = history.add(board, action);
        hub.on_activities({event});
        return event;
    }

    /// Events that happened before the process began; its place is behind them.
    std::vector<board::ActivityView> past(std::string_view board, int count) {
        std::vector<board::ActivityView> events;
        for (int i = 1; i <= count; ++i) {
            events.push_back(history.add(board, std::string(board) + std::to_string(i)));
        }
        hub.on_begin("e1", history.pos);
        return events;
    }

    std::unique_ptr<Follower> follow(std::vector<std::string> boards, std::string_view cursor = "",
                                     std::size_t slice_bytes = 1 << 18) {
        // Streams of all boards are server-sent events.
        const Form form = boards.empty() ? Form::sse_plain : Form::ws;
        return follow_in(form, std::move(boards), cursor, slice_bytes);
    }

    std::unique_ptr<Follower> follow_stream(std::vector<std::string> boards, std::string_view cursor) {
        return follow_in(Form::sse_plain, std::move(boards), cursor, 1 << 18);
    }

    std::unique_ptr<Follower> follow_in(Form form, std::vector<std::string> boards, std::string_view cursor,
                                        std::size_t slice_bytes) {
        ResumePoint point;
        if (!cursor.empty()) {
            const auto read = board::parse_cursor(cursor);
            point.kind = read ? ResumePoint::Kind::cursor : ResumePoint::Kind::unreadable;
            point.after = read.value_or(board::Cursor{});
        }
        return std::make_unique<Follower>(loop, shard, hub, std::move(boards), point, slice_bytes, form);
    }

    void turns(int count = 10) {
        for (int i = 0; i < count; ++i) {
            loop.turn(std::chrono::milliseconds(0));
        }
    }

    Loop loop;
    telemetry::Metrics metrics;
    FakeHistory history;
    Hub hub{loop, line_encoder(), metrics, {.events = 8, .bytes = 1 << 20}};
    SlowBudget budget{100'000, 1'000'000};
    telemetry::LoopCounters counters;
    Shard shard{loop, hub, budget, counters};
};

class ResumeTest : public NoPlaceTest {
  protected:
    ResumeTest() {
        hub.on_begin("e1", 0);
        hub.on_live(true);
    }
};

}  // namespace boardbus::hub

// A history in memory, which answers when the test wants it to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "board/activity.h"
#include "board/json_text.h"
#include "board/ports.h"

namespace boardbus::hub {

class FakeHistory final : public board::ActivityHistory {
  public:
    /// Gives the event the next position of the history and keeps it.
    board::ActivityView add(board::ActivityView event) {
        std::uint64_t& seq = seqs_[event.board];
        ++pos;
        seq = seq == 0 ? pos : seq + 1;  // A board begins with the number of its place.
        event.position = board::Position{epoch, pos, seq};
        event.cursor = board::encode_cursor({*event.position, board::event_hash(event.id)});
        all.push_back(event);
        boards[event.board].push_back(event);
        while (boards[event.board].size() > board_most) {
            boards[event.board].pop_front();
        }
        while (all.size() > all_most) {
            all.pop_front();
        }
        return event;
    }

    board::ActivityView add(std::string_view board, std::string_view action) { return add(foreign(board, action)); }

    /// Another program's event: it has no place.
    board::ActivityView foreign(std::string_view board, std::string_view action) {
        std::string json = R"({"id":"event )" + std::to_string(++ids_) + R"(","board":)";
        board::json::append_quoted(json, board);
        json += R"(,"action":)";
        board::json::append_quoted(json, action);
        json += R"(,"active_connections":0})";
        return *board::parse_activity(json);
    }

    /// Everything is lost.
    void begin(std::string next_epoch) {
        epoch = std::move(next_epoch);
        pos = 0;
        forgotten = 0;
        seqs_.clear();
        all.clear();
        boards.clear();
    }

    /// The board has been idle longest, and the history is full.
    void evict(const std::string& board) {
        forgotten = std::max(forgotten, boards[board].back().position->pos);
        boards.erase(board);
        seqs_.erase(board);
    }

    std::uint64_t last_of(const std::string& board) { return seqs_[board]; }

    void read_board_after(std::string board, std::uint64_t after, std::size_t limit, board::HistoryDone done) override {
        reply(std::move(done), [this, board, after, limit] {
            board::HistoryPage page = empty_page(board);
            for (const auto& event : boards[board]) {
                if (event.position->seq > after && page.events.size() < std::min(limit, page_most)) {
                    page.events.push_back(event);
                }
            }
            return page;
        });
    }

    void read_board_before(std::string board, std::uint64_t before, std::size_t limit,
                           board::HistoryDone done) override {
        reply(std::move(done), [this, board, before, limit] {
            board::HistoryPage page = empty_page(board);
            for (const auto& event : boards[board]) {
                if (event.position->seq < before) {
                    page.events.push_back(event);
                }
            }
            if (page.events.size() > std::min(limit, page_most)) {
                page.events.erase(page.events.begin(),
                                  page.events.end() - static_cast<std::ptrdiff_t>(std::min(limit, page_most)));
            }
            return page;
        });
    }

    void read_all_after(std::uint64_t after, std::size_t limit, board::HistoryDone done) override {
        reply(std::move(done), [this, after, limit] {
            board::HistoryPage page{.epoch = epoch,
                                    .first = all.empty() ? 0 : all.front().position->pos,
                                    .last = pos,
                                    .forgotten = forgotten};
            for (const auto& event : all) {
                if (event.position->pos > after && page.events.size() < std::min(limit, page_most)) {
                    page.events.push_back(event);
                }
            }
            return page;
        });
    }

    /// Answers the oldest question that was kept, with what is true now or (`early`) was true when it was asked.
    void answer_one() {
        if (!kept.empty()) {
            auto answer = std::move(kept.front());
            kept.pop_front();
            answer();
        }
    }

    std::string epoch = "e1";
    std::uint64_t pos = 0;
    std::uint64_t forgotten = 0;
    std::size_t board_most = 1'000;
    std::size_t all_most = 100'000;
    std::size_t page_most = 1'000;  ///< Pages may be shorter than asked for.
    bool keeping = false;
    bool failing = false;
    std::size_t reads = 0;
    std::deque<board::ActivityView> all;
    std::map<std::string, std::deque<board::ActivityView>> boards;
    std::deque<std::move_only_function<void()>> kept;

  private:
    board::HistoryPage empty_page(const std::string& board) {
        const auto& events = boards[board];
        return {.epoch = epoch,
                .events = {},
                .first = events.empty() ? 0 : events.front().position->seq,
                .last = seqs_[board],
                .forgotten = forgotten};
    }

    void reply(board::HistoryDone done, std::function<board::HistoryPage()> make) {
        ++reads;
        Result<board::HistoryPage> page =
            failing ? fail(Errc::unavailable, "test") : Result<board::HistoryPage>(make());
        if (keeping) {
            kept.push_back([done = std::move(done), page = std::move(page)]() mutable { done(std::move(page)); });
        } else {
            done(std::move(page));
        }
    }

    std::map<std::string, std::uint64_t> seqs_;
    std::uint64_t ids_ = 0;
};

}  // namespace boardbus::hub

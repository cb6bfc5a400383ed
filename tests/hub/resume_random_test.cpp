// Readers that come, go and come back while everything happens in any order: none may miss an event, see one twice, or be
// left without a word where something is gone.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <regex>
#include <set>

#include "hub/fake_history.h"
#include "hub/follower.h"
#include "hub/hub.h"

namespace boardbus::hub {
namespace {

using Break = board::HistoryBreak::Kind;
using Kind = ResumePoint::Kind;

class World {
  public:
    explicit World(unsigned seed) : random_(seed) {
        hub_.add_shard(here_);
        hub_.add_shard(there_);
        hub_.set_history(history_);
        history_.board_most = pick(3, 60);
        history_.page_most = pick(1, 40);
        hub_.on_begin("e1", 0);
        hub_.on_live(true);
    }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) {
            step();
        }
        history_.keeping = false;
        settle();
        for (auto& reader : readers_) {
            check(reader);
        }
    }

  private:
    struct Reading {
        std::unique_ptr<Follower> follower;
        std::vector<std::string> boards;  ///< None: all.
        std::string epoch;                ///< Of its cursor; "": it had none.
        std::uint64_t number = 0;         ///< Of its cursor.
        std::uint64_t pos = 0;            ///< Of its cursor: what came before it is not owed.

        bool of_one_board() const { return boards.size() == 1; }
        bool wants(std::string_view board) const {
            return boards.empty() || std::ranges::find(boards, board) != boards.end();
        }
        /// Streams of several boards speak of positions.
        std::uint64_t number_of(const board::Position& place) const { return of_one_board() ? place.seq : place.pos; }
    };

    std::uint64_t pick(std::uint64_t least, std::uint64_t most) {
        return std::uniform_int_distribution<std::uint64_t>(least, most)(random_);
    }

    void step() {
        switch (pick(0, 15)) {
            case 0:
            case 1:
            case 2:
            case 3:
                waiting_.push_back(history_.add(board(), "a"));
                cursors_.push_back(waiting_.back());
                break;
            case 4:
            case 5:
            case 6:
                deliver(pick(1, 4));
                break;
            case 7:
            case 8:
                come();
                break;
            case 9:
                if (!readers_.empty()) {
                    const auto gone = readers_.begin() + static_cast<std::ptrdiff_t>(pick(0, readers_.size() - 1));
                    gone->follower->heard();
                    check(*gone, Complete::no);
                    if (const auto& answers = gone->follower->answers;
                        gone->of_one_board() && !answers.empty() && answers[0].seq == 0 && !answers[0].cursor.empty()) {
                        before_first_.emplace_back(gone->boards[0], answers[0].cursor);
                    }
                    readers_.erase(gone);
                }
                break;
            case 10:
                history_.keeping = !history_.keeping;
                break;
            case 11:
            case 12:
                history_.answer_one();
                break;
            case 13:
                other_loop_.turn(std::chrono::milliseconds(0));
                break;
            case 14:
                loop_.turn(std::chrono::milliseconds(0));
                break;
            case 15:
                if (pick(0, 9) == 0) {
                    break_off();
                } else if (pick(0, 4) == 0) {
                    evict();
                }
                break;
        }
    }

    std::string board() { return std::string(1, static_cast<char>('b' + pick(0, 2))); }

    void deliver(std::size_t count) {
        std::vector<board::ActivityView> batch;
        while (!waiting_.empty() && batch.size() < count) {
            batch.push_back(std::move(waiting_.front()));
            waiting_.erase(waiting_.begin());
        }
        if (!batch.empty()) {
            hub_.on_activities(std::move(batch));
        }
    }

    void evict() {
        if (const std::string idle = board(); history_.last_of(idle) > 0) {
            history_.evict(idle);
            forgotten_.insert(history_.epoch + " " + idle);
        }
    }

    void break_off() {
        const bool replaced = pick(0, 1) == 0;
        waiting_.clear();
        if (replaced) {
            history_.begin("e" + std::to_string(++epochs_));
        }
        for (std::uint64_t i = pick(0, 30); i > 0; --i) {
            cursors_.push_back(history_.add(board(), "a"));
        }
        if (pick(0, 2) == 0) {
            evict();
        }
        if (!replaced) {
            hub_.on_break({.kind = Break::trimmed, .epoch = history_.epoch, .last_pos = history_.pos});
            return;
        }
        const std::uint64_t last_pos = pick(0, 1) == 0 ? 0 : history_.pos;
        hub_.on_break({.kind = Break::replaced, .epoch = history_.epoch, .last_pos = last_pos});
        for (const auto& event : history_.all) {
            if (event.position->pos > last_pos) {
                waiting_.push_back(event);
            }
        }
    }

    void come() {
        static const std::vector<std::vector<std::string>> kSeveral{{}, {"b", "c"}};
        const std::uint64_t several = pick(0, 5);
        Reading reading{.follower = nullptr,
                        .boards = several < kSeveral.size() ? kSeveral[several] : std::vector{board()},
                        .epoch = {}};
        ResumePoint point;
        std::vector<board::ActivityView> known;
        std::ranges::copy_if(cursors_, std::back_inserter(known),
                             [&](const auto& event) { return reading.wants(event.board); });
        if (!known.empty() && pick(0, 3) > 0) {
            const auto& event = known[known.size() - 1 - pick(0, std::min<std::size_t>(known.size() - 1, 30))];
            std::string cursor = event.cursor;
            if (reading.of_one_board() && !before_first_.empty() && pick(0, 2) == 0) {
                const auto& [board, from] = before_first_[pick(0, before_first_.size() - 1)];
                reading.boards = {board};
                cursor = from;
            }
            point = {.kind = Kind::cursor, .after = *board::parse_cursor(cursor)};
            reading.epoch = point.after.position.epoch;
            reading.number = reading.number_of(point.after.position);
            reading.pos = point.after.position.pos;
        }
        const bool on_bus_loop = pick(0, 1) == 0;
        // Streams of all or several boards are server-sent events.
        const Form form = reading.of_one_board() ? Form::ws : Form::sse_plain;
        reading.follower = std::make_unique<Follower>(on_bus_loop ? loop_ : other_loop_, on_bus_loop ? here_ : there_,
                                                      hub_, reading.boards, point, pick(1, 2'000), form);
        readers_.push_back(std::move(reading));
    }

    void settle() {
        // Retries wait a quarter of a second.
        for (int i = 0; i < 2'000; ++i) {
            while (!history_.kept.empty()) {
                history_.answer_one();
            }
            deliver(100);
            loop_.turn(std::chrono::milliseconds(i < 100 ? 0 : 5));
            other_loop_.turn(std::chrono::milliseconds(0));
            const bool all_there = std::ranges::all_of(readers_, [](const auto& one) { return one.follower->joined; });
            if (i > 20 && all_there && waiting_.empty() && hub_.is_settled()) {
                break;
            }
        }
    }

    /// Whether the reader should have seen an event numbered between `last` and `next`. A stream of all boards wants each number; a board
    /// goes on at the number of its place when it was forgotten.
    bool lacks(const Reading& reading, std::string_view epoch, std::uint64_t last, std::uint64_t next) const {
        if (reading.boards.empty()) {
            return next != last + 1;
        }
        return next <= last || std::ranges::any_of(cursors_, [&](const board::ActivityView& event) {
                   const std::uint64_t number = reading.number_of(*event.position);
                   const bool owed = reading.epoch != epoch || event.position->pos > reading.pos;
                   return owed && event.position->epoch == epoch && reading.wants(event.board) && number > last &&
                          number < next;
               });
    }

    enum class Complete { yes, no };

    void check(Reading& reading, Complete complete = Complete::yes) {
        static const std::regex line(R"re("kind":"gap".*"from_(?:seq|pos)":(\d+),"to_(?:seq|pos)":(\d+)|)re"
                                     R"re("kind":"resync".*"epoch":"(\w*)","(?:seq|pos)":(\d+)|"id":"(event \d+)")re");
        std::string epoch = reading.epoch;
        std::uint64_t last = reading.number;
        if (const auto& answers = reading.follower->answers; epoch.empty() && !answers.empty() && answers.front().seq) {
            epoch = answers.front().epoch;
            last = *answers.front().seq;
        }
        if (const auto& answers = reading.follower->answers;
            epoch.empty() && !reading.of_one_board() && !answers.empty()) {
            if (const auto begin = board::parse_cursor(answers.front().cursor)) {
                epoch = begin->position.epoch;
                last = begin->position.pos;
            }
        }
        // 0 says nothing of a board that has been forgotten: it will go on at the number of its place.
        const auto tells = [&] {
            return last > 0 || !reading.of_one_board() || !forgotten_.contains(epoch + " " + reading.boards[0]);
        };
        bool knows = !reading.epoch.empty() || (!epoch.empty() && tells());
        const std::string text = reading.follower->text();
        for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it) {
            const std::smatch& match = *it;
            if (match[1].matched) {
                if (knows) {
                    ASSERT_FALSE(lacks(reading, epoch, last, std::stoull(match[1]))) << match[1] << " in " << text;
                }
                last = std::stoull(match[2]);
                knows = true;
            } else if (match[3].matched) {
                epoch = match[3];
                last = std::stoull(match[4]);
                knows = tells();
            } else {
                const auto event = std::ranges::find(cursors_, match[5].str(), &board::ActivityView::id);
                ASSERT_NE(event, cursors_.end());
                const board::Position& place = *event->position;
                if (knows) {
                    ASSERT_FALSE(lacks(reading, place.epoch, last, reading.number_of(place)))
                        << match[5] << " in " << text;
                    ASSERT_TRUE(epoch.empty() || place.epoch == epoch) << text;
                }
                epoch = place.epoch;
                last = reading.number_of(place);
                knows = true;
            }
        }
        if (complete == Complete::no || reading.follower->cut) {
            return;
        }
        ASSERT_TRUE(reading.follower->joined);
        if (knows && (last != 0 || !reading.epoch.empty())) {
            EXPECT_TRUE(epoch.empty() || epoch == history_.epoch) << text;
            const std::uint64_t end = reading.boards.empty() ? history_.pos + 1 : UINT64_MAX;
            EXPECT_FALSE(lacks(reading, history_.epoch, last, end)) << last << " in " << text;
        }
    }

    std::mt19937 random_;
    Loop loop_;
    Loop other_loop_;
    telemetry::Metrics metrics_;
    FakeHistory history_;
    Hub hub_{loop_, line_encoder(), metrics_, {.events = 20, .bytes = 1 << 20}};
    SlowBudget budget_{1 << 20, 1 << 24};
    telemetry::LoopCounters counters_;
    telemetry::LoopCounters other_counters_;
    Shard here_{loop_, hub_, budget_, counters_};
    Shard there_{other_loop_, hub_, budget_, other_counters_};
    std::vector<board::ActivityView> waiting_;                       ///< Published, not yet at the hub.
    std::vector<board::ActivityView> cursors_;                       ///< Everything that ever happened.
    std::vector<std::pair<std::string, std::string>> before_first_;  ///< Boards, and cursors from before they began.
    std::set<std::string> forgotten_;                                ///< Epochs and boards.
    std::vector<Reading> readers_;
    unsigned epochs_ = 1;
};

TEST(TimedResumeInAnyOrder, NothingIsLostNothingComesTwiceAndGapsAreSaid) {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        SCOPED_TRACE(seed);
        World(seed).run(400);
        if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) {
            break;
        }
    }
}

}  // namespace
}  // namespace boardbus::hub

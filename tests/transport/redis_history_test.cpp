// The history that the commit script keeps, read by RedisHistory; and that the one-process history is the same.
// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "board/activity.h"
#include "transport/memory_history.h"
#include "transport/redis_live.h"

namespace boardbus::transport {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class LiveHistory : public LiveRedis {
  protected:
    using Read = void (board::ActivityHistory::*)(std::string, std::uint64_t, std::size_t, board::HistoryDone);

    board::HistoryPage board_page(Read read, const std::string& board, std::uint64_t place, std::size_t limit) {
        std::optional<board::HistoryPage> page;
        (feed_->history().*read)(board, place, limit, [&](auto answer) { page = std::move(answer).value(); });
        run_until([&] { return page.has_value(); });
        return page.value_or(board::HistoryPage{});
    }
    board::HistoryPage after(const std::string& board, std::uint64_t place, std::size_t limit = 1000) {
        return board_page(&board::ActivityHistory::read_board_after, board, place, limit);
    }
    board::HistoryPage before(const std::string& board, std::uint64_t place, std::size_t limit = 1000) {
        return board_page(&board::ActivityHistory::read_board_before, board, place, limit);
    }

    static std::vector<std::uint64_t> seqs(const board::HistoryPage& page) {
        std::vector<std::uint64_t> all;
        for (const auto& event : page.events) {
            all.push_back(event.position->seq);
        }
        return all;
    }

    static void expect_same(const board::HistoryPage& one, const board::HistoryPage& other) {
        EXPECT_EQ(one.epoch, other.epoch);
        EXPECT_EQ(one.first, other.first);
        EXPECT_EQ(one.last, other.last);
        EXPECT_EQ(one.forgotten, other.forgotten);
        ASSERT_EQ(one.events.size(), other.events.size());
        for (std::size_t i = 0; i < one.events.size(); ++i) {
            EXPECT_EQ(one.events[i].json, other.events[i].json);
        }
    }

    /// `count` events of the board, named by a running number.
    void add(const std::string& board, int count) {
        std::vector<board::CommitRequest> batch;
        for (int i = 0; i < count; ++i) {
            batch.push_back(request("k" + std::to_string(next_++), "aaaaaaaaaaaaaaaa", board));
        }
        EXPECT_THAT(commit(std::move(batch)), testing::Each(Status::fresh));
    }

    /// 40 large events of board b, and no room for another. Returns the bytes that Redis uses.
    std::size_t fill_memory() {
        for (int i = 0; i < 40; ++i) {
            auto big = request("big" + std::to_string(i));
            big.activity.insert(1, "\"payload\":\"" + std::string(200'000, 'z') + "\",");
            commit({big});
        }
        const std::string used = client_->call({"INFO", "memory"});
        const std::size_t bytes = std::stoull(used.substr(used.find("used_memory:") + 12));
        client_->call({"CONFIG", "SET", "maxmemory", std::to_string(bytes)});
        return bytes;
    }

    void commit_with_room() {
        std::vector<Status> statuses{Status::unavailable};
        for (int i = 0; i < 20 && statuses[0] == Status::unavailable; ++i) {
            statuses = commit({request("after")});
            run_for(50ms);
        }
        EXPECT_THAT(statuses, ElementsAre(Status::fresh)) << details_;
    }

    int next_ = 0;
};

TEST_F(LiveHistory, WhatIsKeptIsWhatWasPublished) {
    bring_up();
    add("b", 2);
    add("c", 1);
    add("b", 1);
    run_until([this] { return seen_.views.size() == 4; });

    const auto log = page_after(0);
    const auto board = after("b", 1);

    EXPECT_THAT(log.events, SizeIs(4));
    for (std::size_t i = 0; i < log.events.size(); ++i) {
        EXPECT_EQ(log.events[i].json, seen_.views[i].json);
    }
    ASSERT_THAT(board.events, SizeIs(2));
    EXPECT_EQ(board.events[1].json, seen_.views[3].json);
    EXPECT_EQ(board.events[1].position, (board::Position{.epoch = log.epoch, .pos = 4, .seq = 3}));
    EXPECT_EQ(after("c", 0).events[0].position->seq, 3U) << "a board begins at its pos";
    EXPECT_EQ((std::pair{board.first, board.last}), (std::pair{std::uint64_t{1}, std::uint64_t{3}}));
}

TEST_F(LiveHistory, PagesGoForwardsAndBackwards) {
    bring_up();
    add("b", 40);

    EXPECT_THAT(seqs(after("b", 37)), ElementsAre(38, 39, 40));
    EXPECT_THAT(seqs(after("b", 3, 2)), ElementsAre(4, 5));
    EXPECT_THAT(seqs(before("b", 4)), ElementsAre(1, 2, 3));
    EXPECT_THAT(seqs(before("b", 100, 2)), ElementsAre(39, 40));
    EXPECT_THAT(seqs(before("b", UINT64_MAX, 1)), ElementsAre(40));
    EXPECT_THAT(seqs(before("b", 0)), IsEmpty());
    EXPECT_THAT(seqs(before("b", 1)), IsEmpty());
    EXPECT_THAT(seqs(after("b", UINT64_MAX)), IsEmpty());
    EXPECT_THAT(seqs(after("b", 0, 0)), IsEmpty());
    EXPECT_THAT(seqs(before("b", 21)), SizeIs(20));
}

TEST_F(LiveHistory, UnknownBoardsAndNoHistoryAreEmptyPages) {
    bring_up();
    EXPECT_EQ(after("b", 0).epoch, "");
    add("b", 1);

    const auto page = after("nobody", 0);

    EXPECT_NE(page.epoch, "");
    EXPECT_THAT(page.events, IsEmpty());
    EXPECT_EQ(page.last, 0U);
}

TEST_F(LiveHistory, PagesAreBoundInBytes) {
    bring_up();
    for (int i = 0; i < 5; ++i) {
        auto big = request("big" + std::to_string(i));
        big.activity.insert(1, "\"payload\":\"" + std::string(3 << 20, 'z') + "\",");
        commit({big});
    }

    const auto page = after("b", 0);

    EXPECT_THAT(page.events, SizeIs(1));
    EXPECT_EQ(page.last, 5U);
    EXPECT_THAT(seqs(before("b", 5)), ElementsAre(4));
}

TEST_F(LiveHistory, ABusyBoardEvictsOnlyItself) {
    bring_up({.size = 100, .board_size = 40});
    add("quiet", 3);

    add("busy", 200);

    EXPECT_THAT(after("quiet", 0).events, SizeIs(3));
    const auto busy = after("busy", 0);
    EXPECT_GE(busy.events.size(), 40U);
    EXPECT_LE(busy.events.size(), 45U);
    EXPECT_EQ(busy.last, busy.events.back().position->seq);
    EXPECT_LE(page_after(0).events.size(), 112U);
}

TEST_F(LiveHistory, BoardsThatWereIdleLongestGoFirstAndComeBackAboveTheirNumbers) {
    bring_up({.size = 20, .board_size = 10});
    add("first", 5);
    for (int i = 0; i < 6; ++i) {
        add("board" + std::to_string(i), 3);
        add("kept alive", 1);
    }

    EXPECT_THAT(after("first", 0).events, IsEmpty());
    EXPECT_THAT(after("kept alive", 0).events, SizeIs(6));
    EXPECT_LE(std::stoi(client_->call({"HGET", "ch:state", "kept"})), 21);
    add("first", 2);

    EXPECT_THAT(seqs(after("first", 0)), ElementsAre(30, 31));
}

TEST_F(LiveHistory, EntriesThatContradictTheOrderAreNoEvents) {
    bring_up();
    add("b", 2);
    run_until([this] { return seen_.views.size() == 2; });
    const std::string& past = seen_.views[0].json;
    const std::string future = board::place_activity(
        request("k").activity, {.epoch = seen_.views[0].position->epoch, .pos = 9, .seq = 9}, "id");
    client_->call({"XADD", "ch:board:b", "0-3", "event", past});
    client_->call({"XADD", "ch:board:b", "0-4", "event", future});

    EXPECT_THAT(seqs(after("b", 0)), ElementsAre(1, 2));
    EXPECT_THAT(seqs(after("b", 1)), ElementsAre(2));
    EXPECT_THAT(seqs(before("b", 9)), ElementsAre(1, 2));

    client_->call({"XADD", "ch:log", "0-3", "event", past});
    client_->call({"XADD", "ch:log", "0-4", "event", future});

    EXPECT_THAT(page_after(0).events, SizeIs(2));
    EXPECT_THAT(page_after(1).events, SizeIs(1));
    EXPECT_EQ(page_after(1).last, 4U);
    add("b", 2);
    run_until([this] { return seen_.views.size() == 4; });
    EXPECT_TRUE(feed_->is_live()) << "and whoever follows the log goes on";
}

TEST_F(LiveHistory, OldEventsGoWhenOthersCome) {
    bring_up({.size = 8, .board_size = 8, .age = 100s});
    add("idle", 1);
    add("b", 1);
    // As if the first event had happened long ago.
    client_->call({"DEL", "ch:board:idle"});
    client_->call({"XADD", "ch:board:idle", "0-1", "time", "1000", "pos", "1", "event", "{}"});

    add("b", 1);

    EXPECT_EQ(client_->call({"EXISTS", "ch:board:idle"}), "0");
    EXPECT_EQ(client_->call({"HGET", "ch:state", "seq:idle"}), "(nil)");
    EXPECT_EQ(client_->call({"HGET", "ch:state", "kept"}), "2");
    EXPECT_EQ(after("idle", 0).forgotten, 1U);
    EXPECT_EQ(after("b", 0).forgotten, 1U);
}

TEST_F(LiveHistory, WithTheHistoryFullMemoryMakesRoom) {
    bring_up();
    fill_memory();

    commit_with_room();

    const auto page = after("b", 0, 1);
    EXPECT_LT(page.first, 41U);
    EXPECT_GT(page.first, 1U);
    EXPECT_EQ(page.last, 41U) << "the board goes on counting";
}

TEST_F(LiveHistory, WhatMakesRoomLeavesEachBoardItsNumber) {
    bring_up();
    add("quiet", 3);
    fill_memory();
    commit_with_room();
    client_->call({"CONFIG", "SET", "maxmemory", "0"});
    ASSERT_THAT(seqs(after("quiet", 0)), ElementsAre(3)) << "it was first to give way, less the newest";

    add("b", 20);  // Now boards that nobody uses are looked for.
    add("quiet", 1);

    EXPECT_THAT(seqs(after("quiet", 0)), ElementsAre(3, 4));
}

TEST_F(LiveHistory, WhatMakesRoomForgetsWholeBoardsInTheEndAndNotesIt) {
    bring_up();
    add("a", 1);
    add("b", 1);
    client_->call({"CONFIG", "SET", "maxmemory", "1gb"});
    const RedisCommitScript script("p", 100s, "ch", RedisHistoryKeys("ch"), {});
    for (int i = 0; i < 3; ++i) {  // The log's two events first.
        RedisCommands commands;
        script.add_make_room(commands);
        client_->connection().send(commands, [](auto) {});
        ASSERT_EQ(client_->call({"PING"}), "PONG");
    }

    EXPECT_EQ(client_->call({"HGET", "ch:state", "seq:a"}), "(nil)");
    EXPECT_EQ(client_->call({"HGET", "ch:state", "kept"}), "0");
    EXPECT_EQ(after("a", 0).forgotten, 2U);
}

TEST_F(LiveHistory, WhoBeginsWithAProbeOrACountMakesRoom) {
    bring_up();
    client_->call({"CONFIG", "SET", "maxmemory", std::to_string(fill_memory() - 1'000'000)});

    std::optional<Result<std::int64_t>> counted;
    bus_->count_attempt("m1", [&](Result<std::int64_t> attempts) { counted = std::move(attempts); });
    run_until([&] { return counted.has_value(); });
    EXPECT_EQ(counted->value_or(0), 1);

    std::optional<Result<void>> probed;
    for (int i = 0; i < 20 && (!probed || !*probed); ++i) {
        probed.reset();
        bus_->probe([&](Result<void> result) { probed = std::move(result); });
        run_until([&] { return probed.has_value(); });
    }
    EXPECT_TRUE(probed && *probed) << probed->error().detail;
}

TEST_F(LiveHistory, KeepsTheHistoryWhenSomebodyElseFillsTheMemory) {
    bring_up();
    add("b", 20);
    client_->call({"SET", "of somebody else", std::string(4 << 20, 'x')});
    client_->call({"CONFIG", "SET", "maxmemory", "1mb"});

    EXPECT_THAT(commit({request("after")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("OOM"), std::string::npos) << details_;

    EXPECT_THAT(after("b", 0).events, SizeIs(20));
}

TEST_F(LiveHistory, SurvivesKeysOfOtherTypesInItsPlaces) {
    bring_up();
    add("b", 2);
    client_->call({"SET", "ch:board:b", "mine"});
    add("b", 1);
    EXPECT_THAT(seqs(after("b", 0)), ElementsAre(3));

    client_->call({"SET", "ch:log", "mine"});
    add("b", 1);

    EXPECT_THAT(seqs(after("b", 0)), ElementsAre(1)) << "a new history";
}

TEST_F(LiveHistory, NumbersOnWhenItsListOfBoardsIsGoneOrSomebodyElses) {
    bring_up({.size = 40, .board_size = 20});
    for (const std::initializer_list<std::string_view> trouble :
         {std::initializer_list<std::string_view>{"DEL", "ch:boards"},
          {"SET", "ch:boards", "mine"},
          {"SET", "ch:stale", "mine"}}) {
        add("a", 7);
        add("b", 7);
        client_->call(trouble);
        add("a", 40);  // Past every step at which boards are looked at.
        add("b", 40);
    }

    EXPECT_EQ(page_after(0).last, 3U * 94);
}

TEST_F(LiveHistory, NamesOfAnyBytesAreKeptApart) {
    bring_up();
    add("a:b", 1);
    add("a'b]]", 1);
    add("\xC3\xA9{x}", 1);

    EXPECT_THAT(seqs(after("a:b", 0)), ElementsAre(1));
    EXPECT_THAT(seqs(after("a'b]]", 0)), ElementsAre(2));
    EXPECT_THAT(seqs(after("\xC3\xA9{x}", 0)), ElementsAre(3));
}

TEST_F(LiveHistory, WaitsForItsReplicas) {
    bring_up();
    RedisBusOptions careful = bus_options();
    careful.wait_replicas = 1;
    careful.wait_timeout = 50ms;
    RedisBus bus(loop_, careful, [](const Result<void>&) {});
    bus.start();
    run_until([&] { return bus.is_up(); });

    EXPECT_THAT(commit_on(bus, {request("a")}), ElementsAre(Status::unavailable));
    EXPECT_NE(details_.find("0 of 1 replicas"), std::string::npos) << details_;

    RedisServer replica;
    replica.start({"--replicaof", "127.0.0.1 " + std::to_string(server_.port()), "--repl-diskless-sync-delay", "0"});
    run_until([&] { return client_->call({"INFO", "replication"}).find("state=online") != std::string::npos; }, 20s);
    std::vector<Status> statuses{Status::unavailable};
    for (int i = 0; i < 100 && statuses[0] == Status::unavailable; ++i) {
        statuses = commit_on(bus, {request("a")});
    }
    EXPECT_THAT(statuses, ElementsAre(Status::duplicate)) << details_;
    EXPECT_THAT(commit_on(bus, {request("b")}), ElementsAre(Status::fresh));
}

/// Random events on random boards, with time that passes: both histories keep exactly the same.
TEST_F(LiveHistory, TheMemoryHistoryKeepsTheSame) {
    const HistoryBounds bounds{.size = 60, .board_size = 24, .age = 300s};
    bring_up(bounds);
    const RedisCommitScript script("p", 100s, "ch", RedisHistoryKeys("ch"), bounds);
    RedisCommands load;
    script.add_load(load);
    ASSERT_EQ(client_->call({"PING"}), "PONG");
    RedisConnection& wire = client_->connection();
    wire.send(load, [](auto) {});
    MemoryHistory memory("00000000000000aa", bounds);
    std::mt19937 dice(20261125);
    std::vector<std::string> boards;
    for (int i = 0; i < 12; ++i) {
        boards.push_back("board " + std::to_string(i));
    }
    WallTime now(std::chrono::seconds(1'700'000'000));

    for (int i = 0; i < 1500; ++i) {
        now += std::chrono::seconds(dice() % 100 == 0 ? 400 : dice() % 8);
        // Few boards are busy, many are not.
        const std::string& board = boards[std::min(dice() % 12, dice() % 12)];
        const auto one = request("k" + std::to_string(i), "aaaaaaaaaaaaaaaa", board);
        RedisCommands commands;
        script.add_commit(commands, one, now, "00000000000000aa");
        bool answered = false;
        wire.send(commands, [&](auto replies) {
            answered = true;
            ASSERT_TRUE(replies);
            EXPECT_EQ(to_commit_result(*replies->front()).status, Status::fresh) << text_of(*replies->front());
        });
        ASSERT_TRUE(memory.append(one, now));
        run_until([&] { return answered; });
        if (i % 50 != 0) {
            continue;
        }
        EXPECT_EQ(client_->call({"HGET", "ch:state", "kept"}), std::to_string(memory.kept())) << i;
        std::optional<board::HistoryPage> expected;
        const auto keep = [&](Result<board::HistoryPage> page) { expected = std::move(page).value(); };
        memory.read_all_after(0, 1000, keep);
        expect_same(page_after(0), *expected);
        for (const std::string& name : boards) {
            memory.read_board_after(name, 0, 1000, keep);
            expect_same(after(name, 0), *expected);
            const std::uint64_t place = dice() % 1500;
            memory.read_board_before(name, place, 5, keep);
            expect_same(before(name, place, 5), *expected);
        }
        ASSERT_FALSE(HasFailure()) << "after event " << i;
    }
}

}  // namespace
}  // namespace boardbus::transport

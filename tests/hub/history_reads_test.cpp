// Questions to the history, and who is answered by which reading.
// SPDX-License-Identifier: Apache-2.0
#include "hub/history_reads.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "hub/resume_fixture.h"

namespace boardbus::hub {
namespace {

using testing::ElementsAre;

class HistoryReadsTest : public testing::Test {
  protected:
    HistoryReadsTest() { reads.set_source(history); }

    void ask(const std::string& board = "b") {
        reads.ask({.kind = HistoryQuestion::Kind::board_before, .board = board, .from = UINT64_MAX, .limit = 10},
                  [this](const SharedReply& reply) { last_seqs.push_back(reply->page->last); });
    }

    void turn() { loop.turn(std::chrono::milliseconds(0)); }

    Loop loop;
    ActivityRing ring;
    FakeHistory history;
    HistoryReads reads{loop, ring};
    std::vector<std::uint64_t> last_seqs;
};

TEST_F(HistoryReadsTest, AsksOnceForAllWhoComeTogether) {
    for (int i = 0; i < 100; ++i) {
        ask();
    }
    turn();

    EXPECT_EQ(last_seqs.size(), 100U);
    EXPECT_EQ(history.reads, 1U);
}

TEST_F(HistoryReadsTest, AnswersNobodyWithAPageThatWasReadBeforeHeAsked) {
    history.keeping = true;
    ask();
    turn();
    history.add("b", "1");
    ask();
    turn();

    history.answer_one();
    EXPECT_THAT(last_seqs, ElementsAre(0));
    turn();
    history.answer_one();

    EXPECT_THAT(last_seqs, ElementsAre(0, 1));
    EXPECT_EQ(reads.pages(), 0U);
}

TEST_F(HistoryReadsTest, AsksOnceMoreForAllWhoCameWhileTheQuestionWasOut) {
    history.keeping = true;
    ask();
    turn();
    for (int i = 0; i < 100; ++i) {
        ask();
        turn();
    }
    EXPECT_EQ(reads.pages(), 1U);  // The other places are for other questions.

    history.answer_one();
    turn();
    history.answer_one();
    turn();

    EXPECT_EQ(last_seqs.size(), 101U);
    EXPECT_EQ(history.reads, 2U);
}

TEST_F(ResumeTest, AllWhoAskForTheSamePastGetTheSameBytes) {
    past("b", 3);
    std::vector<SharedPast> pages;
    for (int i = 0; i < 3; ++i) {
        hub.read_past(shard, "b", UINT64_MAX, 10, [&](Result<SharedPast> page) { pages.push_back(page.value()); });
    }
    turns();

    ASSERT_EQ(pages.size(), 3U);
    EXPECT_EQ(history.reads, 1U);
    EXPECT_EQ(pages[0]->events.size(), 3U);
    EXPECT_EQ(pages[0].use_count(), 3);
}

TEST_F(ResumeTest, PagesOfThePastForALoopThatIsBehindAreBounded) {
    Loop other;
    Shard elsewhere{other, hub, budget, counters};
    hub.add_shard(elsewhere);
    history.add("b", std::string(5 << 20, 'x'));
    std::size_t pages = 0;
    std::size_t refused = 0;
    const auto ask_all = [&] {
        for (std::size_t limit = 1; limit <= 10; ++limit) {
            hub.read_past(elsewhere, "b", UINT64_MAX, limit,
                          [&](const Result<SharedPast>& page) { ++(page ? pages : refused); });
        }
        turns();
        other.turn(std::chrono::milliseconds(0));
    };

    ask_all();
    EXPECT_EQ(pages, 4U);  // 4 × 5 MiB are more than 16 MiB.
    EXPECT_EQ(refused, 6U);

    ask_all();
    EXPECT_EQ(pages, 8U);
}

TEST_F(ResumeTest, AReaderWithANewerCursorIsNotToldToResyncByAnOlderPage) {
    past("b", 2);
    history.keeping = true;
    const auto early = follow({"b"}, board::encode_cursor({{"e1", 3, 3}, 0}));
    turns();
    const auto ahead = history.add("b", "seen elsewhere");
    const auto reader = follow({"b"}, ahead.cursor);
    turns();

    while (!history.kept.empty()) {
        history.answer_one();
        turns();
    }
    hub.on_activities({ahead});
    turns();
    show("b", "live");
    turns();

    EXPECT_THAT(early->heard(), ElementsAre("resync e1 2", "seen elsewhere", "live"));
    EXPECT_THAT(reader->heard(), ElementsAre("live"));
}

}  // namespace
}  // namespace boardbus::hub

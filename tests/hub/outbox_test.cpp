// SPDX-License-Identifier: Apache-2.0
#include "hub/outbox.h"

#include <gtest/gtest.h>

#include "hub/reader_pair.h"

namespace boardbus::hub {
namespace {

Run run(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

TEST(Outbox, WritesInOrderWhateverTheSocketTakes) {
    SlowBudget budget(64 << 20, 64 << 20);
    Outbox outbox(budget);
    SocketPair pair;
    std::string expected;
    for (int i = 0; i < 200; ++i) {
        const std::string piece(10'000, static_cast<char>('a' + i % 26));
        ASSERT_EQ(outbox.push(run("?" + piece), 1), Push::queued);
        expected += piece;
    }

    std::string got;
    Flush flush = Flush::blocked;
    while (flush == Flush::blocked) {
        flush = outbox.flush(pair.ours.get());
        got += pair.read_up_to(7'777);
    }
    got += pair.read();

    EXPECT_EQ(flush, Flush::drained);
    EXPECT_EQ(got, expected);
    EXPECT_EQ(budget.used(), 0U);
}

TEST(Outbox, TakesAnyRunWhenEmptyAndNoMoreBeyondItsBound) {
    SlowBudget budget(1'000, 1 << 20);
    Outbox outbox(budget);

    EXPECT_EQ(outbox.push(run(std::string(5'000, 'x')), 0), Push::queued);
    EXPECT_EQ(outbox.push(run("x"), 0), Push::too_slow);
    EXPECT_EQ(outbox.bytes(), 5'000U);
}

TEST(Outbox, CountsEveryPieceSoThatEmptyPongsCannotPileUp) {
    SlowBudget budget(10'000, 1 << 20);
    Outbox outbox(budget);

    int pieces = 0;
    while (outbox.push(run("pp"), 0) == Push::queued) {
        ++pieces;
    }

    EXPECT_LT(pieces, 200);
}

TEST(Outbox, SharesOneBoundWithAllOthersAndGivesBack) {
    SlowBudget budget(10'000, 1'500);
    Outbox first(budget);
    ASSERT_EQ(first.push(run(std::string(1'000, 'x')), 0), Push::queued);
    {
        Outbox second(budget);
        EXPECT_EQ(second.push(run(std::string(1'000, 'x')), 0), Push::too_slow);
        EXPECT_EQ(second.push(run(std::string(200, 'x')), 0), Push::queued);
    }
    first.drop_unstarted();

    EXPECT_EQ(first.bytes(), 0U);
    EXPECT_EQ(budget.used(), 0U);
}

TEST(Outbox, FinishesAFrameThatHasBegunBeforeTheLastWord) {
    SlowBudget budget(1'000, 10'000);
    Outbox outbox(budget);
    SocketPair pair;
    ASSERT_EQ(outbox.push(run("begun"), 2), Push::queued);
    ASSERT_EQ(outbox.push(run("waiting"), 0), Push::queued);

    outbox.drop_unstarted();
    outbox.push_last(run("!"));

    EXPECT_EQ(outbox.flush(pair.ours.get()), Flush::drained);
    EXPECT_EQ(pair.read(), "gun!");
}

TEST(Outbox, SaysWhenTheSocketFailed) {
    SlowBudget budget(1'000, 10'000);
    Outbox outbox(budget);
    SocketPair pair;
    pair.theirs.reset();
    ASSERT_EQ(outbox.push(run("x"), 0), Push::queued);

    EXPECT_EQ(outbox.flush(pair.ours.get()), Flush::lost);
}

}  // namespace
}  // namespace boardbus::hub

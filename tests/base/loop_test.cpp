// SPDX-License-Identifier: Apache-2.0
#include "base/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace boardbus {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

/// A descriptor that is always readable.
struct Ready final : Watcher {
    Ready(Loop& the_loop, std::move_only_function<void()> then) : loop(the_loop), on_event(std::move(then)) {
        loop.add(fd.get(), EPOLLIN, *this);
    }
    ~Ready() { forget(); }
    void forget() {
        if (fd) {
            loop.remove(fd.get(), *this);
            fd.reset();
        }
    }
    void on_ready(std::uint32_t) override { on_event(); }

    Loop& loop;
    UniqueFd fd{::eventfd(1, EFD_NONBLOCK)};
    std::move_only_function<void()> on_event;
};

struct Hook final : TurnEnd {
    explicit Hook(std::move_only_function<void()> then) : on_end(std::move(then)) {}
    void on_turn_end() override { on_end(); }
    std::move_only_function<void()> on_end;
};

TEST(Loop, RunsInputThenTasksThenTimersThenTurnEnds) {
    Loop loop;
    std::vector<std::string> order;
    Hook hook([&] { order.push_back("turn end"); });
    loop.add_turn_end(hook);
    Timer timer(loop, [&] { order.push_back("timer"); });
    Ready ready(loop, [&] { order.push_back("input"); });
    timer.start(1ns);
    loop.post([&] { order.push_back("task"); });

    loop.turn(100ms);

    EXPECT_THAT(order, ElementsAre("input", "task", "timer", "turn end"));
}

TEST(Loop, ForgetsAWatcherThatWasRemovedInTheSameTurn) {
    Loop loop;
    int calls = 0;
    std::unique_ptr<Ready> first;
    std::unique_ptr<Ready> second;
    first = std::make_unique<Ready>(loop, [&] {
        ++calls;
        second->forget();
    });
    second = std::make_unique<Ready>(loop, [&] {
        ++calls;
        first->forget();
    });

    loop.turn(100ms);

    EXPECT_EQ(calls, 1);
}

TEST(Loop, LetsAnotherWatchADescriptorAndForgetsTheFirst) {
    Loop loop;
    int first_calls = 0;
    int second_calls = 0;
    std::unique_ptr<Ready> first;
    std::unique_ptr<Ready> second;
    // Whichever is called first replaces the other, whose event has been read already.
    const auto take_over = [&](Ready& one, Ready& other) {
        loop.remove(one.fd.get(), one);
        one.fd = std::move(other.fd);
        loop.replace(one.fd.get(), EPOLLIN, other, one);
    };
    first = std::make_unique<Ready>(loop, [&] {
        if (++first_calls == 1) {
            take_over(*first, *second);
        }
    });
    second = std::make_unique<Ready>(loop, [&] {
        if (++second_calls == 1) {
            take_over(*second, *first);
        }
    });

    loop.turn(100ms);
    const int calls_of_one_turn = first_calls + second_calls;
    loop.turn(100ms);

    EXPECT_EQ(calls_of_one_turn, 1);
    EXPECT_TRUE((first_calls == 2 && second_calls == 0) || (first_calls == 0 && second_calls == 2));
}

TEST(Loop, RunsTasksOfOtherThreadsInTheirOrder) {
    Loop loop;
    std::vector<int> seen;
    std::thread other([&] {
        for (int i = 0; i < 100; ++i) {
            loop.post([&seen, i] { seen.push_back(i); });
        }
        loop.stop();
    });

    loop.run();
    other.join();

    ASSERT_EQ(seen.size(), 100U);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(Loop, DoesNotSleepWhenATurnEndAskedForAnother) {
    Loop loop;
    int turns = 0;
    Hook hook([&] {
        if (++turns == 1) {
            loop.again();
        }
    });
    loop.add_turn_end(hook);
    const auto begin = std::chrono::steady_clock::now();

    loop.turn(0ms);
    loop.turn(10s);

    EXPECT_EQ(turns, 2);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST(Timer, FiresOnceAndNotAfterStop) {
    Loop loop;
    int fired = 0;
    int stopped_fired = 0;
    Timer timer(loop, [&] { ++fired; });
    Timer stopped(loop, [&] { ++stopped_fired; });
    timer.start(1ms);
    stopped.start(1ms);
    stopped.stop();

    for (int i = 0; i < 3; ++i) {
        loop.turn(5ms);
    }

    EXPECT_EQ(fired, 1);
    EXPECT_EQ(stopped_fired, 0);
    EXPECT_FALSE(timer.running());
}

TEST(Timer, ThatStartsItselfAgainFiresOnceATurn) {
    Loop loop;
    int fired = 0;
    std::unique_ptr<Timer> timer;
    timer = std::make_unique<Timer>(loop, [&] {
        ++fired;
        timer->start(0ns);
    });
    timer->start(0ns);

    loop.turn(5ms);

    EXPECT_EQ(fired, 1);
}

}  // namespace
}  // namespace boardbus

// The event loop: one thread, one epoll set, everything else a guest.
//
// A turn has four parts, always in this order: ready descriptors, posted tasks, due timers, turn ends. Nothing is written to a reader
// before the turn's end, so whatever arrived together leaves together (research: a loopback segment costs 6 µs whether it carries
// 200 bytes or 4 KB, a system call 0.1 µs). Level-triggered epoll; edge triggering and io_uring were measured and gave nothing.
// An object registered here belongs to the loop's thread. The one door for other threads is post().
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace boardbus {

using Instant = std::chrono::steady_clock::time_point;
using Task = std::move_only_function<void()>;

/// Somebody who owns a descriptor that the loop watches.
class Watcher {
  public:
    /// `events` are EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll reported them. May remove itself or any other watcher.
    virtual void on_ready(std::uint32_t events) = 0;

  protected:
    ~Watcher() = default;
};

/// Somebody who has work to finish when the input of a turn has been read.
class TurnEnd {
  public:
    virtual void on_turn_end() = 0;

  protected:
    ~TurnEnd() = default;
};

class Loop {
  public:
    Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Runs turns until stop(). The calling thread becomes the loop's thread.
    void run();

    /// Ends run() after the current turn. Thread: any.
    void stop();

    /// Runs one turn and waits at most `longest` for something to do. For tests and for short programs.
    void turn(std::chrono::milliseconds longest);

    /// Watches `fd`. Errors: throws std::system_error when epoll refuses, which is our own bug or out of memory.
    void add(int fd, std::uint32_t events, Watcher& watcher);
    void modify(int fd, std::uint32_t events, Watcher& watcher);

    /// Forgets `fd`. Its watcher is not called again, not even for an event that this turn has already read.
    void remove(int fd, Watcher& watcher);

    /// Lets `next` watch `fd` in the place of `old`, which is not called again. Errors: as add().
    void replace(int fd, std::uint32_t events, Watcher& old, Watcher& next);

    /// Runs `task` on the loop in the next turn, in the order of posting. Thread: any.
    /// Bound: none here; who posts bounds what he has posted (windows, one task per batch).
    void post(Task task);

    /// Calls `hook` at the end of every turn; hooks run in the order of registration, which is the order of the pipeline.
    void add_turn_end(TurnEnd& hook);
    void remove_turn_end(TurnEnd& hook);

    /// Makes the next turn start without waiting: a turn end has produced work for an earlier one.
    void again() { again_ = true; }

    /// The time at which this turn's input was read. Cheap; good enough for every timeout.
    Instant now() const { return now_; }

  private:
    friend class Timer;
    using TimerKey = std::pair<Instant, std::uint64_t>;

    int wait_ms(std::chrono::milliseconds longest) const;
    void forget_ready(const Watcher& watcher);
    void run_posted();
    void run_due_timers();

    // Loop only.
    UniqueFd epoll_;
    UniqueFd wakeup_;
    std::vector<epoll_event> ready_;
    std::size_t ready_count_ = 0;
    std::size_t ready_at_ = 0;  // The one that is being called.
    std::map<TimerKey, class Timer*> timers_;
    std::uint64_t next_timer_ = 0;
    std::vector<TurnEnd*> turn_ends_;
    Instant now_;
    bool again_ = false;
    bool stopped_ = false;

    // Any thread, under the mutex. On a cache line of their own: whoever posts must not take away what the loop reads
    // for each event.
    alignas(64) std::mutex posted_mutex_;
    std::vector<Task> posted_;
};

/// A timer that belongs to its owner: it dies with him and then never fires. Its callback must not destroy it.
class Timer {
  public:
    Timer(Loop& loop, std::move_only_function<void()> on_due) : loop_(loop), on_due_(std::move(on_due)) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { stop(); }

    /// Fires once, `delay` after this turn's now(). A timer that is running starts anew.
    void start(std::chrono::nanoseconds delay);
    void stop();
    bool running() const { return running_; }

  private:
    friend class Loop;
    Loop& loop_;
    std::move_only_function<void()> on_due_;
    Loop::TimerKey key_{};
    bool running_ = false;
};

}  // namespace boardbus

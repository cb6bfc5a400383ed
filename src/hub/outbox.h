// The backlog of one slow reader.
//
// A reader whose socket takes everything has no outbox at all. One that falls behind keeps references to runs that all
// readers of its board share, and an offset into the first. Its backlog is bounded, and so are all backlogs together: a
// reader that reaches a bound is told to go (1013) and comes back, it never misses an event in silence. Lives on its
// reader's loop; only the budget is shared.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>

namespace boardbus::hub {

/// Bytes that are written as they are, to one reader or to all of a board. Never changes once it is shared.
using Run = std::shared_ptr<const std::string>;

/// What slow readers may keep waiting. One object for the process; touched only when somebody is slow. Thread: any.
class SlowBudget {
  public:
    SlowBudget(std::size_t reader_bytes, std::size_t total_bytes)
        : reader_bytes_(reader_bytes), total_bytes_(total_bytes) {}

    std::size_t reader_bytes() const { return reader_bytes_; }
    std::size_t used() const { return used_.load(std::memory_order_relaxed); }

    /// False, and nothing taken, when all backlogs together would exceed the total.
    bool take(std::size_t bytes);
    void give_back(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  private:
    // Constant after construction.
    std::size_t reader_bytes_;
    std::size_t total_bytes_;
    // Any thread.
    std::atomic<std::size_t> used_ = 0;
};

enum class Push { queued, too_slow };
enum class Flush { drained, blocked, lost };

class Outbox {
  public:
    explicit Outbox(SlowBudget& budget) : budget_(budget) {}
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;
    ~Outbox() { budget_.give_back(cost_); }

    /// Queues what follows `offset` of `run`. too_slow leaves the outbox as it was. Into an empty outbox any run fits,
    /// so that one frame alone never costs a reader its connection; only the total still counts.
    Push push(Run run, std::size_t offset);

    /// Queues the rest of a run that has begun, or a last word, whatever the bounds say: it happens once per reader,
    /// which ends with it.
    void push_last(Run run, std::size_t offset = 0);

    /// Forgets the runs of which no byte has been written; a frame that has begun must be completed or nothing after it
    /// is readable.
    void drop_unstarted();

    /// Writes as much as the socket takes.
    Flush flush(int fd);

    /// Bytes that wait.
    std::size_t bytes() const { return bytes_; }

  private:
    struct Piece {
        Run run;
        std::size_t offset;
    };

    void consume(std::size_t written);

    SlowBudget& budget_;
    std::deque<Piece> pieces_;  // Bound: SlowBudget, by cost.
    std::size_t bytes_ = 0;
    std::size_t cost_ = 0;
    bool first_started_ = false;
};

}  // namespace boardbus::hub

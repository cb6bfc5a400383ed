// What the loads of `boardbus bench` have in common: a loop, the signals that end a run early, a line per second.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/loop.h"
#include "cli/bench_options.h"
#include "cli/bench_report.h"
#include "cli/bench_target.h"

namespace boardbus::cli {

/// Prints what `line` says, once a second, on standard error; nothing when nobody wants to see it.
class BenchProgress {
  public:
    BenchProgress(Loop& loop, bool wanted, std::function<std::string()> line);

  private:
    void on_due();

    const std::function<std::string()> line_;
    unsigned seconds_ = 0;
    Timer timer_;
};

/// What a load needs to run. `stopped` turns true when the user has asked for the end.
struct BenchRun {
    Loop& loop;
    const BenchOptions& options;
    const BenchTarget& target;
    const bool& stopped;
};

/// `seconds` as the loop counts time.
std::chrono::nanoseconds from_seconds(double seconds);

/// fanout and pipeline: publishers and subscribers.
BenchReport run_bench_events(const BenchRun& run);

/// connect: sockets that open and stay.
BenchReport run_bench_connect(const BenchRun& run);

}  // namespace boardbus::cli

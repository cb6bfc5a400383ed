// What every long-running command does with its process: signals, descriptors, the first log lines.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "base/loop.h"
#include "base/unique_fd.h"
#include "cli/config_load.h"

namespace boardbus::cli {

/// Takes SIGTERM and SIGINT as events of a loop. Make it before the first thread starts: the signals are blocked in all of them.
class StopSignals final : private Watcher {
  public:
    /// `on_stop` is called for the first signal; a second one ends the process at once with exit code 1.
    StopSignals(Loop& loop, Task on_stop);
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;
    ~StopSignals();

  private:
    void on_ready(std::uint32_t events) override;

    Loop& loop_;
    UniqueFd fd_;
    Task on_stop_;
};

/// Raises the soft limit of open files to the hard one and tells it.
std::size_t raise_file_limit();

/// Cores that this process may run on, at least 1: those of its affinity mask, which a container with a set of cores has too, and which
/// std::thread::hardware_concurrency() does not look at. Spec: sched_getaffinity(2).
std::size_t usable_cores();

/// Log level and format as configured; the first lines are what the configuration has to say.
void begin_log(const LoadedConfig& loaded);

}  // namespace boardbus::cli

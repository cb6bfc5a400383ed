// The commands. Each returns the program's exit code: 0 good, 1 not. Start-up problems may throw; main prints one line.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "cli/bench_options.h"
#include "cli/config.h"

namespace boardbus::cli {

/// Serves until SIGTERM or SIGINT.
int run_app(const Config& config);

/// Consumes until SIGTERM or SIGINT.
int run_worker(const Config& config);

struct DemoOptions {
    std::string url;  ///< http://host[:port].
    std::string board = "demo";
    std::string token;
    std::chrono::milliseconds timeout{10'000};
};

/// Sends one message through the whole pipeline and shows how it comes back. Result on standard output, reasons on standard error.
int run_demo(const DemoOptions& options);

struct DlqOptions {
    enum class Action { list, show, replay, purge };
    Action action = Action::list;
    std::optional<std::string> event_id;  ///< None: all of them (replay, purge).
    std::size_t limit = 100;              ///< list: the oldest so many.
};

/// Looks into the dead letter queue, or empties it. Results on standard output, reasons on standard error.
int run_dlq(const Config& config, const DlqOptions& options);

struct HealthOptions {
    std::string url;  ///< http://host[:port]/path.
    std::chrono::milliseconds timeout{3'000};
    std::chrono::milliseconds wait{0};  ///< Asks again until the answer is good or this has passed.
};

/// Asks the local app or worker how it is.
int run_health(const HealthOptions& options);

/// Loads a running app. Figures on standard output, progress and reasons on standard error. 0: everything came as it should; 1: not, or
/// it could not begin; 2: the URL is wrong.
int run_bench(const BenchOptions& options);

}  // namespace boardbus::cli

// `boardbus bench`: how much does a running app take, and how long does it take over it?
//
// One process and one loop play all clients, so the clock that stamps an event is the one that takes its arrival. Says what it measured,
// and with exit code 1 why the measurement cannot be trusted: something was lost, doubled, out of order or refused.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>

#include "cli/bench_run.h"
#include "cli/commands.h"
#include "cli/process.h"

namespace boardbus::cli {
namespace {

std::size_t connections_of(const BenchOptions& options) {
    return options.load == BenchOptions::Load::connect ? options.connections : options.subscribers + options.publishers;
}

}  // namespace

BenchProgress::BenchProgress(Loop& loop, bool wanted, std::function<std::string()> line)
    : line_(std::move(line)), timer_(loop, [this] { on_due(); }) {
    if (wanted || ::isatty(STDERR_FILENO) != 0) {
        timer_.start(std::chrono::seconds(1));
    }
}

void BenchProgress::on_due() {
    std::fprintf(stderr, "%4u s  %s\n", ++seconds_, line_().c_str());
    timer_.start(std::chrono::seconds(1));
}

std::chrono::nanoseconds from_seconds(double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

int run_bench(const BenchOptions& options) {
    const auto complain = [&](const std::string& why) {
        std::fprintf(stderr, "boardbus bench %s: %s\n", name_of(options.load).c_str(), why.c_str());
    };
    const auto target = find_bench_target(options.url, options.token, connections_of(options));
    if (!target) {
        complain(options.url + ": " + target.error().detail);
        return target.error().code == Errc::invalid ? 2 : 1;
    }
    Loop loop;
    bool stopped = false;
    const StopSignals signals(loop, [&stopped] { stopped = true; });
    const BenchRun run{loop, options, *target, stopped};
    const BenchReport report =
        options.load == BenchOptions::Load::connect ? run_bench_connect(run) : run_bench_events(run);
    std::fputs((options.json ? report_as_json(report) : report_as_text(report)).c_str(), stdout);
    std::fflush(stdout);
    for (const std::string& problem : report.problems) {
        complain(problem);
    }
    return report.problems.empty() ? 0 : 1;
}

}  // namespace boardbus::cli

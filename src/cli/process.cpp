// SPDX-License-Identifier: Apache-2.0
#include "cli/process.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "telemetry/log.h"

namespace boardbus::cli {

StopSignals::StopSignals(Loop& loop, Task on_stop) : loop_(loop), on_stop_(std::move(on_stop)) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    fd_.reset(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!fd_) {
        throw std::system_error(errno, std::generic_category(), "signalfd");
    }
    loop_.add(fd_.get(), EPOLLIN, *this);
}

StopSignals::~StopSignals() {
    loop_.remove(fd_.get(), *this);
}

void StopSignals::on_ready(std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (!on_stop_) {
            ::_exit(1);
        }
        telemetry::log(telemetry::Level::info, "stopping", {{"signal", static_cast<std::int64_t>(info.ssi_signo)}});
        std::exchange(on_stop_, nullptr)();
    }
}

std::size_t raise_file_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

std::size_t usable_cores() {
    cpu_set_t cores;
    if (::sched_getaffinity(0, sizeof cores, &cores) != 0) {
        return std::max(1U, std::thread::hardware_concurrency());  // More than 1,024 cores do not fit into the set.
    }
    return static_cast<std::size_t>(CPU_COUNT(&cores));
}

void begin_log(const LoadedConfig& loaded) {
    const TelemetryConfig& chosen = loaded.config.telemetry;
    const auto fallback = ::isatty(STDERR_FILENO) != 0 ? telemetry::LogFormat::text : telemetry::LogFormat::json;
    telemetry::configure_log(chosen.log_level, chosen.log_format.value_or(fallback));
    for (const auto& warning : loaded.warnings) {
        telemetry::log(telemetry::Level::warn, "configuration", {{"warning", std::string_view(warning)}});
    }
}

}  // namespace boardbus::cli

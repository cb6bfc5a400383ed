// SPDX-License-Identifier: Apache-2.0
#include "telemetry/process_families.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "base/clock.h"

namespace boardbus::telemetry {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily gauge(std::string name, std::string help, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    return {std::move(name), std::move(help), MetricType::Gauge, {std::move(metric)}};
}

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// Seconds since the epoch; 0 when /proc does not say. Constant, so it is read once.
double start_time() {
    std::ifstream stat("/proc/self/stat");
    std::string text;
    std::getline(stat, text);
    // The second field, the program's name, may contain spaces; it ends with the last ')'. starttime is field 22.
    const auto name_end = text.rfind(')');
    double uptime_now = 0;
    if (name_end == std::string::npos || !(std::ifstream("/proc/uptime") >> uptime_now)) {
        return 0;
    }
    std::size_t at = name_end + 1;
    for (int field = 3; field < 22 && at != std::string::npos; ++field) {
        at = text.find(' ', at + 1);
    }
    if (at == std::string::npos) {
        return 0;
    }
    const double started_after_boot = static_cast<double>(std::strtoull(text.c_str() + at, nullptr, 10)) /
                                      static_cast<double>(::sysconf(_SC_CLK_TCK));
    const std::chrono::duration<double> now = wall_now().time_since_epoch();
    return now.count() - uptime_now + started_after_boot;
}

void add_memory(std::vector<MetricFamily>& families) {
    std::uint64_t virtual_pages = 0;
    std::uint64_t resident_pages = 0;
    if (std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages) {
        const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
        families.push_back(
            gauge("process_resident_memory_bytes", "Resident memory.", static_cast<double>(resident_pages) * page));
        families.push_back(
            gauge("process_virtual_memory_bytes", "Virtual memory.", static_cast<double>(virtual_pages) * page));
    }
}

void add_descriptors(std::vector<MetricFamily>& families) {
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc/self/fd", error);
    if (!error) {
        std::ptrdiff_t count = -1;  // The iterator itself holds one open.
        for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
            ++count;
        }
        families.push_back(gauge("process_open_fds", "Open file descriptors.", static_cast<double>(count)));
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        families.push_back(
            gauge("process_max_fds", "Most file descriptors allowed.", static_cast<double>(limit.rlim_cur)));
    }
}

}  // namespace

std::vector<MetricFamily> process_families() {
    std::vector<MetricFamily> families;
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        ClientMetric metric;
        metric.counter.value = seconds(usage.ru_utime) + seconds(usage.ru_stime);
        families.push_back(
            {"process_cpu_seconds_total", "CPU time, user and system.", MetricType::Counter, {std::move(metric)}});
    }
    add_memory(families);
    add_descriptors(families);
    static const double started = start_time();
    if (started > 0) {
        families.push_back(
            gauge("process_start_time_seconds", "When the process began, in seconds since the epoch.", started));
    }
    return families;
}

}  // namespace boardbus::telemetry

// SPDX-License-Identifier: Apache-2.0
#include "bench/server_process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string>

namespace boardbus::bench {
namespace {

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

double cpu_seconds(const std::vector<pid_t>& processes) {
    double ticks = 0;
    for (const pid_t process : processes) {
        std::ifstream file("/proc/" + std::to_string(process) + "/stat");
        // The program's name, in brackets, may hold spaces; utime is the 12th word after it.
        file.ignore(std::numeric_limits<std::streamsize>::max(), ')');
        std::string word;
        for (int i = 0; i < 11; ++i) {
            file >> word;
        }
        double user = 0;
        double system = 0;
        file >> user >> system;
        ticks += user + system;
    }
    return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace boardbus::bench

// What the operating system says about the server under test: the processor time that it has used.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <vector>

namespace boardbus::bench {

/// utime + stime of all threads of these processes, in seconds; clock ticks of 10 ms. 0 for one that is gone. Spec: proc(5), stat.
double cpu_seconds(const std::vector<pid_t>& processes);

/// The same of this process, exactly.
double own_cpu_seconds();

}  // namespace boardbus::bench

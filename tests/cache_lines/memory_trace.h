// Notes which thread uses which cache line: what -fsanitize=thread makes the compiler call, without its library.
//
// The program is compiled with -fsanitize=thread and linked without it, so that each load, store and atomic of ours, and
// each memcpy of the compiler's, comes here first. What the C library does by itself (a std::string's copy) and the
// kernel are not seen.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace memory_trace {

constexpr int kThreads = 2;

struct Counts {
    std::uint64_t all = 0;     ///< Uses of cache lines: loads, stores, atomics; a range counts once per line.
    std::uint64_t shared = 0;  ///< Those on lines that both threads used and one wrote.
    std::uint64_t shared_lines = 0;
    std::uint64_t locks = 0;  ///< Calls of pthread_mutex_lock().
};

/// What the calling thread does from now on counts as that of `number`; -1: it does not count.
void be_thread(int number);

/// Begins to count.
void start();

/// Ends it, and gives what was counted since. Nobody may be counted any more.
Counts stop();

}  // namespace memory_trace

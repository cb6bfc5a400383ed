// SPDX-License-Identifier: Apache-2.0
#include "cache_lines/memory_trace.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace memory_trace {
namespace {

constexpr std::size_t kLines = 1 << 18;  // A power of two. Full: the program ends.
constexpr std::uintptr_t kLineBytes = 64;

/// What each thread did with one cache line.
struct Line {
    std::atomic<std::uintptr_t> number = 0;
    std::array<std::atomic<std::uint32_t>, kThreads> reads{};
    std::array<std::atomic<std::uint32_t>, kThreads> writes{};
};

std::array<Line, kLines> lines;
std::atomic<bool> counting = false;
std::atomic<std::uint64_t> locks = 0;
thread_local int thread_number = -1;

bool is_counted() {
    return thread_number >= 0 && counting.load(std::memory_order_relaxed);
}

void count_line(std::uintptr_t number, bool write) {
    std::size_t at = (number * 0x9E3779B97F4A7C15U) >> 40U & (kLines - 1);
    for (std::size_t tries = 0; tries < kLines; ++tries, at = (at + 1) & (kLines - 1)) {
        std::uintptr_t there = lines[at].number.load(std::memory_order_relaxed);
        if (there == 0 && lines[at].number.compare_exchange_strong(there, number)) {
            there = number;
        }
        if (there == number) {
            auto& counts = write ? lines[at].writes : lines[at].reads;
            counts[static_cast<std::size_t>(thread_number)].fetch_add(1, std::memory_order_relaxed);
            return;
        }
    }
    std::abort();
}

void use(const volatile void* address, std::size_t size, bool write) {
    if (size == 0 || !is_counted()) {
        return;
    }
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    for (std::uintptr_t line = begin / kLineBytes; line <= (begin + size - 1) / kLineBytes; ++line) {
        count_line(line, write);
    }
}

}  // namespace

void be_thread(int number) {
    thread_number = number;
}

void start() {
    counting = true;
}

Counts stop() {
    counting = false;
    Counts counts{.locks = locks.exchange(0)};
    for (Line& line : lines) {
        std::array<std::uint64_t, kThreads> uses{};
        std::uint64_t writes = 0;
        for (std::size_t thread = 0; thread < kThreads; ++thread) {
            const std::uint64_t written = line.writes[thread].exchange(0);
            uses[thread] = line.reads[thread].exchange(0) + written;
            writes += written;
        }
        line.number = 0;
        counts.all += uses[0] + uses[1];
        if (uses[0] > 0 && uses[1] > 0 && writes > 0) {
            counts.shared += uses[0] + uses[1];
            ++counts.shared_lines;
        }
    }
    return counts;
}

}  // namespace memory_trace

// The names that the compiler calls: LLVM, compiler-rt/lib/tsan/rtl/tsan_interface.h and tsan_interface_atomic.h.
using memory_trace::use;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void** at) {
    use(at, sizeof *at, false);
}
void __tsan_vptr_update(void** at, void*) {
    use(at, sizeof *at, true);
}
void __tsan_read_range(void* at, std::size_t size) {
    use(at, size, false);
}
void __tsan_write_range(void* at, std::size_t size) {
    use(at, size, true);
}
void* __tsan_memset(void* to, int byte, std::size_t size) {
    use(to, size, true);
    return std::memset(to, byte, size);
}
void* __tsan_memcpy(void* to, const void* from, std::size_t size) {
    use(from, size, false);
    use(to, size, true);
    return std::memcpy(to, from, size);
}
void* __tsan_memmove(void* to, const void* from, std::size_t size) {
    use(from, size, false);
    use(to, size, true);
    return std::memmove(to, from, size);
}
void __tsan_atomic_thread_fence(int) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

#define PLAIN(size)                                    \
    void __tsan_read##size(void* at) {                 \
        use(at, size, false);                          \
    }                                                  \
    void __tsan_write##size(void* at) {                \
        use(at, size, true);                           \
    }                                                  \
    void __tsan_unaligned_read##size(void* at) {       \
        use(at, size, false);                          \
    }                                                  \
    void __tsan_unaligned_write##size(void* at) {      \
        use(at, size, true);                           \
    }                                                  \
    void __tsan_read_write##size(void* at) {           \
        use(at, size, true);                           \
    }                                                  \
    void __tsan_unaligned_read_write##size(void* at) { \
        use(at, size, true);                           \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

// Always in the strongest order: only what is touched is of interest.
#define ATOMIC_CHANGE(bits, name)                                                          \
    Word##bits __tsan_atomic##bits##_##name(volatile Word##bits* at, Word##bits by, int) { \
        use(at, sizeof *at, true);                                                         \
        return __atomic_##name(at, by, __ATOMIC_SEQ_CST);                                  \
    }
#define ATOMIC(bits)                                                                                                   \
    using Word##bits = std::uint##bits##_t;                                                                            \
    Word##bits __tsan_atomic##bits##_load(const volatile Word##bits* at, int) {                                        \
        use(at, sizeof *at, false);                                                                                    \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                                  \
    }                                                                                                                  \
    void __tsan_atomic##bits##_store(volatile Word##bits* at, Word##bits value, int) {                                 \
        use(at, sizeof *at, true);                                                                                     \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                                 \
    }                                                                                                                  \
    Word##bits __tsan_atomic##bits##_exchange(volatile Word##bits* at, Word##bits value, int) {                        \
        use(at, sizeof *at, true);                                                                                     \
        return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                       \
    }                                                                                                                  \
    ATOMIC_CHANGE(bits, fetch_add)                                                                                     \
    ATOMIC_CHANGE(bits, fetch_sub)                                                                                     \
    ATOMIC_CHANGE(bits, fetch_and)                                                                                     \
    ATOMIC_CHANGE(bits, fetch_or)                                                                                      \
    ATOMIC_CHANGE(bits, fetch_xor)                                                                                     \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile Word##bits* at, Word##bits* expected, Word##bits value, \
                                                      int, int) {                                                      \
        use(at, sizeof *at, true);                                                                                     \
        return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;    \
    }                                                                                                                  \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile Word##bits* at, Word##bits* expected, Word##bits value,   \
                                                    int, int) {                                                        \
        return __tsan_atomic##bits##_compare_exchange_strong(at, expected, value, 0, 0);                               \
    }                                                                                                                  \
    Word##bits __tsan_atomic##bits##_compare_exchange_val(volatile Word##bits* at, Word##bits expected,                \
                                                          Word##bits value, int, int) {                                \
        __tsan_atomic##bits##_compare_exchange_strong(at, &expected, value, 0, 0);                                     \
        return expected;                                                                                               \
    }
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

int __real_pthread_mutex_lock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
    if (memory_trace::is_counted()) {
        memory_trace::locks.fetch_add(1, std::memory_order_relaxed);
    }
    return __real_pthread_mutex_lock(mutex);
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

#include "base/hex.h"

namespace boardbus {
namespace {

// 256 bytes: what getrandom() gives at once and uninterrupted (getrandom(2)); 16 UUIDs for one system call.
struct Buffer {
    std::array<std::uint64_t, 32> words{};
    std::size_t used = 32;
};

}  // namespace

std::uint64_t random_u64() {
    thread_local Buffer buffer;
    if (buffer.used == buffer.words.size()) {
        while (::getrandom(buffer.words.data(), sizeof buffer.words, 0) < 0) {
            if (errno != EINTR) {
                throw std::system_error(errno, std::generic_category(), "getrandom");
            }
        }
        buffer.used = 0;
    }
    return buffer.words[buffer.used++];
}

double random_unit() {
    // The upper 53 bits: every double in [0, 1) with that spacing is equally likely.
    return static_cast<double>(random_u64() >> 11) * 0x1.0p-53;
}

std::string random_uuid() {
    const std::uint64_t high = (random_u64() & ~0xF000ULL) | 0x4000ULL;
    const std::uint64_t low = (random_u64() & ~(3ULL << 62)) | (2ULL << 62);
    std::string text(36, '-');
    char* at = write_hex(text.data(), high >> 32, 8) + 1;
    at = write_hex(at, high >> 16, 4) + 1;
    at = write_hex(at, high, 4) + 1;
    at = write_hex(at, low >> 48, 4) + 1;
    write_hex(at, low, 12);
    return text;
}

}  // namespace boardbus

// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>

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
    static constexpr char kHex[] = "0123456789abcdef";
    const std::array<std::uint64_t, 2> words{(random_u64() & ~0xF000ULL) | 0x4000ULL,
                                             (random_u64() & ~(3ULL << 62)) | (2ULL << 62)};
    std::string text(36, '-');
    std::size_t at = 0;
    for (int nibble = 0; nibble < 32; ++nibble) {
        if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) {
            ++at;
        }
        text[at++] = kHex[words[static_cast<std::size_t>(nibble / 16)] >> (60 - 4 * (nibble % 16)) & 15];
    }
    return text;
}

}  // namespace boardbus

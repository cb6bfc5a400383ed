// The parts of JSON strings that need no thought: no quote, no backslash, no control character.
//
// Nearly all text is plain, and both reading and writing strings get past it a register at a time. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace boardbus::board::json {

/// The first byte of [at, end) that ends the plain part of a string (quote, backslash, control character), or a place
/// at most seven bytes before it. `high`: becomes non-zero when one of the bytes passed was not ASCII.
inline const char* skip_plain_words(const char* at, const char* end, std::uint64_t& high) {
#if defined(__SSE2__)
    // Sixteen bytes at a time where every processor can; what is left over goes the common way.
    for (; end - at >= 16; at += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, _mm_set1_epi8(0x1F)), _mm_set1_epi8(0x1F));
        const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        const auto found = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))));
        const auto tops = static_cast<unsigned>(_mm_movemask_epi8(bytes));
        if (found != 0) {
            high |= tops & ((found & -found) - 1);
            return at + std::countr_zero(found);
        }
        high |= tops;
    }
#endif
    constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
    constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
    for (; end - at >= 8; at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, 8);
        if constexpr (std::endian::native == std::endian::big) {
            word = std::byteswap(word);
        }
        // The classic "has a zero byte" and "has a byte below n": the lowest bit found is exact, those above it may be
        // not.
        const std::uint64_t quote = word ^ (kOnes * '"');
        const std::uint64_t slash = word ^ (kOnes * '\\');
        const std::uint64_t found =
            (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word)) & kHighs;
        if (found != 0) {
            const int bits = std::countr_zero(found) & ~7;
            high |= word & kHighs & ((std::uint64_t{1} << bits) - 1);
            return at + bits / 8;
        }
        high |= word & kHighs;
    }
    return at;
}

}  // namespace boardbus::board::json

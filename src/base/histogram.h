// How long things took: counts in buckets that grow with the value.
//
// Each power of two is cut into 64 equal buckets, so that no answer is off by more than 1.6 %, whatever its size. Constant memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace boardbus {

class Histogram {
  public:
    void add(std::chrono::nanoseconds time) {
        const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
        ++buckets_[bucket_of(value)];
        ++count_;
        max_ = std::max(max_, value);
    }

    std::uint64_t count() const { return count_; }
    double max_us() const { return static_cast<double>(max_) / 1e3; }

    /// How many values are below `power` of two nanoseconds; exact, because no bucket lies on both sides.
    std::uint64_t count_below_power(unsigned power) const {
        const std::size_t end = power > 63 ? buckets_.size() : bucket_of(std::uint64_t{1} << power);
        return std::accumulate(buckets_.begin(), buckets_.begin() + static_cast<std::ptrdiff_t>(end), std::uint64_t{0});
    }

    /// The value that `share` of all values do not exceed, in microseconds; 0 when there are none.
    double quantile_us(double share) const {
        const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
        std::uint64_t below = 0;
        for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
            below += buckets_[bucket];
            if (below >= wanted && below > 0) {
                return static_cast<double>(std::min(highest_in(bucket), max_)) / 1e3;
            }
        }
        return 0;
    }

  private:
    static constexpr unsigned kBits = 6;  // 64 buckets for each power of two.

    static std::size_t bucket_of(std::uint64_t value) {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        const unsigned shift = width > kBits + 1 ? width - kBits - 1 : 0;
        return (static_cast<std::size_t>(shift) << kBits) + static_cast<std::size_t>(value >> shift);
    }

    static std::uint64_t highest_in(std::size_t bucket) {
        const std::size_t shift = bucket < (2U << kBits) ? 0 : (bucket >> kBits) - 1;
        return ((bucket - (shift << kBits) + 1) << shift) - 1;
    }

    // (57 shifts + 2) × 64 buckets × 8 B = 30 KB.
    std::array<std::uint64_t, (64 - kBits + 1) << kBits> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace boardbus

// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_stamp.h"

#include <cassert>
#include <charconv>

#include "base/hex.h"

namespace boardbus::cli {
namespace {

// Fixed widths, so that a stamp is written over the last one: {"bench":"RRRRRRRRPPPPSSSSSSSSSSDDDDDDDDDDDDD"}
constexpr std::size_t kRunDigits = 8;
constexpr std::size_t kPublisherDigits = 4;
constexpr std::size_t kSequenceDigits = 10;
constexpr std::size_t kDueDigits = 13;
constexpr std::size_t kStampDigits = kPublisherDigits + kSequenceDigits + kDueDigits;
constexpr std::string_view kName = R"("bench":")";
static_assert(1 + kName.size() + kRunDigits + kStampDigits + 2 == kBenchPayloadMin);

/// Takes `digits` hexadecimal digits off the front of `text`.
std::optional<std::uint64_t> take_hex(std::string_view& text, std::size_t digits) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, 16);
    if (error != std::errc() || end != text.data() + digits) {
        return std::nullopt;
    }
    text.remove_prefix(digits);
    return value;
}

}  // namespace

BenchStamper::BenchStamper(std::uint32_t run) : mark_(kName) {
    mark_ += to_hex(run, kRunDigits);
}

std::string BenchStamper::message(std::size_t payload_bytes) const {
    assert(payload_bytes >= kBenchPayloadMin);
    return R"({"action":"bench","user":"bench","payload":{)" + mark_ + std::string(kStampDigits, '0') +
           std::string(payload_bytes - kBenchPayloadMin, '.') + "\"}}";
}

void BenchStamper::put(std::string& message, const BenchStamp& stamp) const {
    char* digit = message.data() + message.find(mark_) + mark_.size();
    digit = write_hex(digit, stamp.publisher, kPublisherDigits);
    digit = write_hex(digit, stamp.sequence, kSequenceDigits);
    write_hex(digit, static_cast<std::uint64_t>(stamp.due.count()), kDueDigits);
}

std::optional<BenchStamp> BenchStamper::find(std::string_view text) const {
    const auto mark = text.find(mark_);
    if (mark == std::string_view::npos || text.size() - mark < mark_.size() + kStampDigits) {
        return std::nullopt;
    }
    text.remove_prefix(mark + mark_.size());
    const auto publisher = take_hex(text, kPublisherDigits);
    const auto sequence = publisher ? take_hex(text, kSequenceDigits) : std::nullopt;
    const auto due = sequence ? take_hex(text, kDueDigits) : std::nullopt;
    if (!due) {
        return std::nullopt;
    }
    return BenchStamp{*publisher, *sequence, std::chrono::nanoseconds(static_cast<std::int64_t>(*due))};
}

}  // namespace boardbus::cli

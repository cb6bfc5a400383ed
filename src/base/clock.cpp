// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <algorithm>
#include <cstdint>

namespace boardbus {
namespace {

int two_digits(std::string_view text, std::size_t at) {
    const auto digit = [](char byte) { return byte >= '0' && byte <= '9'; };
    return at + 2 <= text.size() && digit(text[at]) && digit(text[at + 1]) ? (text[at] - '0') * 10 + text[at + 1] - '0'
                                                                           : -1;
}

/// Writes `value` into the `width` characters from `at` on, with leading zeros.
template <typename Number>
void put_digits(std::string& text, std::size_t at, std::size_t width, Number value) {
    for (; width > 0; value /= 10) {
        text[at + --width] = static_cast<char>('0' + value % 10);
    }
}

}  // namespace

std::string iso_8601(WallTime time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    // Once per message: printf would take a tenth of the time that a message takes on its whole way.
    std::string text = "0000-00-00T00:00:00.000000Z";
    put_digits(text, 0, 4, static_cast<int>(date.year()));
    put_digits(text, 5, 2, static_cast<unsigned>(date.month()));
    put_digits(text, 8, 2, static_cast<unsigned>(date.day()));
    put_digits(text, 11, 2, clock.hours().count());
    put_digits(text, 14, 2, clock.minutes().count());
    put_digits(text, 17, 2, clock.seconds().count());
    put_digits(text, 20, 6, clock.subseconds().count());
    return text;
}

std::optional<WallTime> parse_iso_8601(std::string_view text) {
    constexpr std::string_view kShape = "0000-00-00T00:00:00";
    if (text.size() < kShape.size() || text.size() > 64) {
        return std::nullopt;
    }
    for (std::size_t at = 0; at < kShape.size(); ++at) {
        if (kShape[at] != '0' && text[at] != kShape[at]) {
            return std::nullopt;
        }
    }
    const int century = two_digits(text, 0);
    const int year = two_digits(text, 2);
    const std::chrono::year_month_day date(std::chrono::year(century * 100 + year),
                                           std::chrono::month(static_cast<unsigned>(two_digits(text, 5))),
                                           std::chrono::day(static_cast<unsigned>(two_digits(text, 8))));
    const int hour = two_digits(text, 11);
    const int minute = two_digits(text, 14);
    const int second = two_digits(text, 17);
    if (century < 0 || year < 0 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
        second > 60) {
        return std::nullopt;
    }
    std::string_view rest = text.substr(kShape.size());
    std::chrono::microseconds fraction{};
    if (rest.starts_with('.')) {
        const std::size_t digits = std::min(rest.find_first_not_of("0123456789", 1), rest.size()) - 1;
        if (digits == 0) {
            return std::nullopt;
        }
        std::int64_t unit = 100'000;
        for (std::size_t i = 1; i <= digits; ++i, unit /= 10) {
            fraction += std::chrono::microseconds((rest[i] - '0') * unit);
        }
        rest.remove_prefix(digits + 1);
    }
    if (rest != "Z" && rest != "+00:00" && !rest.empty()) {
        return std::nullopt;
    }
    return WallTime(std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                    std::chrono::seconds(second) + fraction);
}

}  // namespace boardbus

// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "board/json_text.h"

namespace boardbus::cli {
namespace {

using board::json::append_quoted;

struct Quantile {
    const char* label;
    const char* member;
    double share;
};
constexpr std::array<Quantile, 4> kQuantiles{
    {{"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99.9", "p99_9", 0.999}}};

constexpr std::size_t kLabelWidth = 24;
constexpr std::size_t kNumberWidth = 16;
constexpr std::size_t kBarWidth = 40;
// 2^16 ns = 66 µs and less share a line; 2^36 ns = 69 s and more, too.
constexpr unsigned kFirstPower = 16;
constexpr unsigned kLastPower = 36;

std::string fixed(double value, int decimals) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
    return text.data();
}

std::string left(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
}

std::string right(const std::string& text, std::size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string row(const std::string& label, const std::string& number, const std::string& rest = {}) {
    return "  " + left(label, kLabelWidth) + right(number, kNumberWidth) + rest + "\n";
}

std::string spoken(std::string name) {
    std::ranges::replace(name, '_', ' ');
    return name;
}

/// Lines from the first power of two that has values to the last one.
std::string bars(const Histogram& times) {
    std::array<std::uint64_t, kLastPower + 1> counts{};
    std::uint64_t below = 0;
    for (unsigned power = kFirstPower; power <= kLastPower; ++power) {
        const std::uint64_t up_to = power == kLastPower ? times.count() : times.count_below_power(power);
        counts[power] = up_to - below;
        below = up_to;
    }
    const std::uint64_t most = std::max<std::uint64_t>(1, *std::ranges::max_element(counts));
    const auto has_values = [](std::uint64_t count) { return count > 0; };
    const auto first = std::ranges::find_if(counts, has_values);
    const auto last = std::find_if(counts.rbegin(), counts.rend(), has_values).base();
    std::string text;
    for (auto count = first; count < last; ++count) {
        const auto power = static_cast<unsigned>(count - counts.begin());
        const auto width = static_cast<std::size_t>(*count * kBarWidth / most);
        const double bound_ms = static_cast<double>(std::uint64_t{1} << power) / 1e6;
        const std::string label =
            power == kLastPower ? "more" : "below " + fixed(bound_ms, bound_ms < 10 ? 3 : 0) + " ms";
        text += row(label, grouped(static_cast<double>(*count), 0),
                    "  " + std::string(*count > 0 ? std::max<std::size_t>(1, width) : 0, '#'));
    }
    return text;
}

std::string numbers_as_json(const std::vector<BenchFigure>& figures) {
    std::string text;
    for (const BenchFigure& figure : figures) {
        text += text.empty() ? "" : ",";
        append_quoted(text, figure.name);
        text += ":" + fixed(figure.value, figure.decimals);
    }
    return text;
}

std::string times_as_json(const Histogram& times) {
    std::string text = R"({"samples":)" + std::to_string(times.count());
    for (const Quantile& each : kQuantiles) {
        text += std::string(",\"") + each.member + "\":" + fixed(times.quantile_us(each.share) / 1e3, 4);
    }
    return text + ",\"max\":" + fixed(times.max_us() / 1e3, 4) + "}";
}

}  // namespace

std::string grouped(double value, int decimals) {
    std::string text = fixed(value, decimals);
    const auto point = std::min(text.find('.'), text.size());
    const std::size_t first = text.starts_with('-') ? 1 : 0;
    for (std::size_t place = point; place > first + 3; place -= 3) {
        text.insert(place - 3, 1, ',');
    }
    return text;
}

std::string report_as_text(const BenchReport& report) {
    std::string text = "boardbus bench " + report.load + ": " + report.url + ", " + report.transport +
                       (report.interrupted ? ", ended early" : "") + "\n";
    for (const BenchFigure& figure : report.setup) {
        text += row(spoken(figure.name), grouped(figure.value, figure.decimals));
    }
    text += "\n";
    for (const BenchFigure& figure : report.figures) {
        text += row(spoken(figure.name), grouped(figure.value, figure.decimals));
    }
    for (const auto& [reason, count] : report.refusals.counts()) {
        text += row("refused: " + reason, grouped(static_cast<double>(count), 0));
    }
    if (report.times.count() == 0) {
        return text;
    }
    text += "\n";
    for (const Quantile& each : kQuantiles) {
        text += row(report.timed + " " + each.label, fixed(report.times.quantile_us(each.share) / 1e3, 3), " ms");
    }
    text += row(report.timed + " max", fixed(report.times.max_us() / 1e3, 3), " ms");
    return text + "\n" + bars(report.times);
}

std::string report_as_json(const BenchReport& report) {
    std::string text = R"({"load":)";
    append_quoted(text, report.load);
    text += std::string(R"(,"ok":)") + (report.problems.empty() ? "true" : "false") + R"(,"interrupted":)" +
            (report.interrupted ? "true" : "false") + R"(,"problems":[)";
    for (std::size_t i = 0; i < report.problems.size(); ++i) {
        text += i == 0 ? "" : ",";
        append_quoted(text, report.problems[i]);
    }
    text += R"(],"url":)";
    append_quoted(text, report.url);
    text += R"(,"transport":)";
    append_quoted(text, report.transport);
    text +=
        R"(,"setup":{)" + numbers_as_json(report.setup) + "}," + numbers_as_json(report.figures) + R"(,"refusals":{)";
    bool first = true;
    for (const auto& [reason, count] : report.refusals.counts()) {
        text += std::exchange(first, false) ? "" : ",";
        append_quoted(text, reason);
        text += ":" + std::to_string(count);
    }
    text += "},";
    append_quoted(text, report.timed + "_ms");
    return text + ":" + times_as_json(report.times) + "}\n";
}

}  // namespace boardbus::cli

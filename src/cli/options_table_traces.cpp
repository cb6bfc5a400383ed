// The rules of the two options that say where traces go.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "cli/options_table_checks.h"
#include "cli/options_table_rules.h"
#include "transport/url.h"

namespace boardbus::cli {
namespace {

constexpr std::size_t kHeadersMax = 64;

/// Headers that say how the request is framed: two of them, and the collector might see another request than ours.
bool is_reserved(std::string_view name) {
    constexpr std::array<std::string_view, 11> kNames = {
        "connection", "content-encoding", "content-length", "content-type",      "expect", "host",
        "te",         "trailer",          "user-agent",     "transfer-encoding", "upgrade"};
    std::string lower(name);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return std::ranges::find(kNames, lower) != kNames.end();
}

Complaint add_header(std::string_view item, std::vector<std::pair<std::string, std::string>>& headers) {
    const auto equals = item.find('=');
    if (equals == item.npos) {
        return kNotAllowed;
    }
    const std::string name(trimmed(item.substr(0, equals)));
    const auto value = transport::percent_decoded(trimmed(item.substr(equals + 1)));
    if (!is_header_name(name) || !value || !is_header_value(*value)) {
        return kNotAllowed;
    }
    if (is_reserved(name)) {
        return "the exporter itself sets " + name;
    }
    if (headers.size() == kHeadersMax) {
        return "more than " + std::to_string(kHeadersMax) + " headers";
    }
    headers.emplace_back(name, *value);
    return kFine;
}

}  // namespace

Rule otlp_endpoint() {
    return {"an http:// or https:// URL", [](Config& config, std::string_view text) -> Complaint {
                config.telemetry.otlp_endpoint.reset();
                if (trimmed(text).empty()) {
                    return kFine;
                }
                auto url = transport::parse_http_url(text);
                if (!url) {
                    return url.error().detail.substr(url.error().detail.rfind(": ") + 2);
                }
                config.telemetry.otlp_endpoint = std::move(*url);
                return kFine;
            }};
}

Rule otlp_headers() {
    return {"key=value, comma-separated, values percent-encoded",
            [](Config& config, std::string_view text) -> Complaint {
                const auto items = parse_list(text);
                if (!items) {
                    return kNotAllowed;
                }
                config.telemetry.otlp_headers.clear();
                for (const auto& item : *items) {
                    if (Complaint complaint = add_header(item, config.telemetry.otlp_headers)) {
                        return complaint;
                    }
                }
                return kFine;
            }};
}

}  // namespace boardbus::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/options_table_checks.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "transport/url.h"

namespace boardbus::cli {
namespace {

bool is_port(std::string_view text) {
    const auto port = parse_integer(text);
    return port && *port >= 1 && *port <= 65535;
}

/// host, host:port, [::1] or [::1]:port.
bool is_authority(std::string_view text) {
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos || !web::Address::parse(text.substr(1, end - 1))) {
            return false;
        }
        text.remove_prefix(end + 1);
        return text.empty() || (text.starts_with(':') && is_port(text.substr(1)));
    }
    const auto colon = text.find(':');
    const auto host = text.substr(0, colon);
    return !host.contains('*') && transport::is_host(host) &&
           (colon == std::string_view::npos || is_port(text.substr(colon + 1)));
}

/// The error says "URL: why"; the URL stands in our line already, masked with more care.
std::string reason(const Error& error) {
    return error.detail.substr(error.detail.rfind(": ") + 2);
}

/// Paths that the app serves itself.
bool is_taken(std::string_view path) {
    constexpr std::array<std::string_view, 3> kPaths = {"/", "/healthz", "/readyz"};
    constexpr std::array<std::string_view, 4> kTrees = {"/ws/", "/sse/", "/boards/", "/assets/"};
    return std::ranges::find(kPaths, path) != kPaths.end() ||
           std::ranges::any_of(kTrees, [&](std::string_view tree) { return path.starts_with(tree); });
}

}  // namespace

Complaint add_amqp_url(const std::string& item, std::vector<transport::AmqpUrl>& field) {
    auto urls = transport::parse_amqp_urls(item);
    if (!urls) {
        return reason(urls.error());
    }
    std::ranges::move(*urls, std::back_inserter(field));
    return kFine;
}

Rule redis_url() {
    return {"a redis://, rediss://, redis+sentinel:// or redis+cluster:// URL",
            [](Config& config, std::string_view text) -> Complaint {
                auto url = transport::parse_redis_url(text);
                if (!url) {
                    return reason(url.error());
                }
                config.redis.url = std::move(*url);
                return kFine;
            }};
}

Rule rate_limit_storage() {
    return {"memory:// or a redis:// or rediss:// URL", [](Config& config, std::string_view text) -> Complaint {
                config.rate_limit_redis.reset();
                if (trimmed(text) == "memory://") {
                    return kFine;
                }
                auto url = transport::parse_redis_url(text);
                if (!url) {
                    return reason(url.error());
                }
                config.rate_limit_redis = std::move(*url);
                return kFine;
            }};
}

Complaint add_origin(const std::string& item, std::vector<std::string>& field) {
    if (item.contains('*')) {
        return "a wildcard origin is refused: it would let every site act with its visitors' tokens";
    }
    std::string origin = item;
    std::ranges::transform(origin, origin.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (origin.ends_with('/')) {
        origin.pop_back();
    }
    std::string_view authority = origin;
    if (authority.starts_with("https://")) {
        authority.remove_prefix(8);
    } else if (authority.starts_with("http://")) {
        authority.remove_prefix(7);
    } else {
        return kNotAllowed;
    }
    if (!is_authority(authority)) {
        return kNotAllowed;
    }
    field.push_back(std::move(origin));
    return kFine;
}

Complaint add_header_name(const std::string& item, std::vector<std::string>& field) {
    if (!is_header_name(item)) {
        return kNotAllowed;
    }
    field.push_back(item);
    return kFine;
}

Complaint add_proxy(const std::string& item, std::vector<web::Cidr>& field) {
    auto block = web::Cidr::parse(item);
    if (!block) {
        return block.error().detail;
    }
    field.push_back(*block);
    return kFine;
}

Rule metrics_path() {
    return text(at(&Config::web, &web::Options::metrics_path),
                "a path that begins with / and is not one of the app's own, such as /healthz",
                [](std::string_view path) {
                    return path.starts_with('/') && path.size() <= 256 && !is_taken(path) &&
                           std::ranges::all_of(path.substr(1), [](char c) {
                               return c == '/' || (is_header_name({&c, 1}) && c != '%' && c != '#');
                           });
                });
}

Rule only(std::string_view value) {
    return {value.empty() ? "blank" : std::string(value), [value](Config&, std::string_view text) -> Complaint {
                return trimmed(text) == value ? kFine : "not supported yet";
            }};
}

Rule rate(std::function<std::optional<web::RateLimit>&(Config&)> place) {
    return {"a rate like 120/minute", [place = std::move(place)](Config& config, std::string_view text) -> Complaint {
                const auto limit = web::parse_rate_limit(text);
                if (!limit) {
                    return kNotAllowed;
                }
                place(config) = *limit;
                return kFine;
            }};
}

bool is_amqp_name(std::string_view text) {
    return text.size() <= 200 && is_plain_text(text);  // AMQP allows 255 bytes; the levels add to it.
}

bool is_redis_name(std::string_view text) {
    return text.size() <= 512 && is_plain_text(text);
}

bool is_token(std::string_view text) {
    return text.size() <= 4096 && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
}

bool is_readable_file(std::string_view path) {
    std::error_code error;
    return std::filesystem::is_regular_file(path, error) && std::ifstream(std::string(path)).good();
}

}  // namespace boardbus::cli

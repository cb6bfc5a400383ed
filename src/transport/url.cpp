// SPDX-License-Identifier: Apache-2.0
#include "transport/url.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

namespace boardbus::transport {
namespace {

/// A URL cut at its delimiters, user information and path decoded.
struct Parts {
    bool tls = false;
    std::optional<std::string> user;
    std::optional<std::string> password;
    std::string host;
    std::uint16_t port = 0;
    std::vector<Endpoint> more_hosts;  // Only where the scheme allows several.
    std::string path;                  // Without the leading slash.
    std::string encoded_path;          // The same as it was written.
};

struct Scheme {
    std::string_view plain;
    std::uint16_t plain_port;
    std::string_view tls;
    std::uint16_t tls_port;
    const char* expected;
    bool several_hosts = false;
};
constexpr const char* kRedisBegin =
    "it must begin with redis://, redis+sentinel:// or redis+cluster://, or with rediss for TLS";
constexpr Scheme kRedis{
    .plain = "redis", .plain_port = 6379, .tls = "rediss", .tls_port = 6379, .expected = kRedisBegin};
constexpr Scheme kSentinel{.plain = "redis+sentinel",
                           .plain_port = 26379,
                           .tls = "rediss+sentinel",
                           .tls_port = 26379,
                           .expected = kRedisBegin,
                           .several_hosts = true};
constexpr Scheme kCluster{.plain = "redis+cluster",
                          .plain_port = 6379,
                          .tls = "rediss+cluster",
                          .tls_port = 6379,
                          .expected = kRedisBegin,
                          .several_hosts = true};
constexpr Scheme kAmqp{.plain = "amqp",
                       .plain_port = 5672,
                       .tls = "amqps",
                       .tls_port = 5671,
                       .expected = "it must begin with amqp:// or amqps://"};
constexpr Scheme kHttp{.plain = "http",
                       .plain_port = 80,
                       .tls = "https",
                       .tls_port = 443,
                       .expected = "it must begin with http:// or https://"};
// A quorum of sentinels needs three, a cluster names its other nodes; far more would only delay the error.
constexpr std::size_t kHostsMax = 16;

/// What is wrong with a URL: a constant text, because a part of the URL may be a part of the password.
using Wrong = std::unexpected<const char*>;
template <typename T>
using Checked = std::expected<T, const char*>;

template <typename T>
std::optional<T> decimal(std::string_view digits) {
    T number{};
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (code != std::errc() || end != digits.data() + digits.size() || digits.front() == '-') {
        return std::nullopt;
    }
    return number;
}

Checked<std::string> decoded(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            plain += text[i];
            continue;
        }
        const std::string_view digits = text.substr(i + 1, 2);
        unsigned byte = 0;
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
        if (digits.size() < 2 || code != std::errc() || end != digits.data() + 2) {
            return Wrong("'%' must be followed by two hexadecimal digits");
        }
        plain += static_cast<char>(byte);
        i += 2;
    }
    return plain;
}

Checked<void> read_user(std::string_view text, Parts& parts) {
    const auto colon = text.find(':');
    auto user = decoded(text.substr(0, colon));
    auto password = decoded(colon == text.npos ? "" : text.substr(colon + 1));
    if (!user || !password) {
        return Wrong(!user ? user.error() : password.error());
    }
    parts.user = std::move(*user);
    if (colon != text.npos) {
        parts.password = std::move(*password);
    }
    return {};
}

Checked<void> read_host(std::string_view text, Parts& parts) {
    std::string_view host = text.substr(0, text.rfind(':'));
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == text.npos) {
            return Wrong("'[' without ']' in the host");
        }
        host = text.substr(0, close + 1);
        parts.host = host.substr(1, close - 1);
        if (parts.host.find(':') == parts.host.npos || !numeric_address(parts.host, 0)) {
            return Wrong("no IPv6 address between '[' and ']'");
        }
    } else {
        parts.host = host;
        if (parts.host.contains(':') || !is_host(parts.host)) {
            return Wrong("the host must be a name, an IPv4 address or an IPv6 address in brackets");
        }
    }
    const std::string_view port = text.substr(host.size());
    if (!port.empty()) {
        const bool has_digits = port.front() == ':' && port.size() > 1;
        const auto number = has_digits ? decimal<std::uint16_t>(port.substr(1)) : std::nullopt;
        if (!number || *number == 0) {
            return Wrong("the port must be 1 to 65535");
        }
        parts.port = *number;
    }
    return {};
}

Checked<void> read_more_hosts(std::string_view text, const Scheme& scheme, Parts& parts) {
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find(',', begin), text.size());
        Parts one{.port = parts.tls ? scheme.tls_port : scheme.plain_port};
        if (auto read = read_host(text.substr(begin, end - begin), one); !read) {
            return read;
        }
        if (parts.more_hosts.size() + 1 == kHostsMax) {
            return Wrong("at most 16 hosts");
        }
        parts.more_hosts.push_back({.host = std::move(one.host), .port = one.port, .tls = parts.tls});
        begin = end + 1;
    }
    return {};
}

Checked<Parts> cut(std::string_view text, const Scheme& scheme) {
    Parts parts;
    const auto colon = text.find("://");
    const std::string_view name = text.substr(0, colon);
    if (colon == text.npos || (name != scheme.plain && name != scheme.tls)) {
        return Wrong(scheme.expected);
    }
    parts.tls = name == scheme.tls;
    parts.port = parts.tls ? scheme.tls_port : scheme.plain_port;
    std::string_view rest = text.substr(colon + 3);
    if (rest.find_first_of("?#") != rest.npos) {
        return Wrong("options after '?' or '#' are not supported ('%3F' and '%23' stand for the characters)");
    }
    std::string_view authority = rest.substr(0, rest.find('/'));
    parts.encoded_path = rest.substr(std::min(rest.size(), authority.size() + 1));
    auto path = decoded(parts.encoded_path);
    if (!path) {
        return Wrong(path.error());
    }
    parts.path = std::move(*path);
    if (const auto at = authority.rfind('@'); at != authority.npos) {
        if (auto read = read_user(authority.substr(0, at), parts); !read) {
            return Wrong(read.error());
        }
        authority.remove_prefix(at + 1);
    }
    const std::size_t first = scheme.several_hosts ? authority.find(',') : authority.npos;
    if (auto read = read_host(authority.substr(0, first), parts); !read) {
        return Wrong(read.error());
    }
    if (first != authority.npos) {
        if (auto read = read_more_hosts(authority.substr(first + 1), scheme, parts); !read) {
            return Wrong(read.error());
        }
    }
    return parts;
}

std::unexpected<Error> invalid(std::string_view text, const char* why) {
    return fail(Errc::invalid, mask_url(text) + ": " + why);
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(' ');
    return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

}  // namespace

Result<RedisUrl> parse_redis_url(std::string_view text) {
    const std::string_view name = trimmed(text).substr(0, trimmed(text).find("://"));
    const bool by_sentinel = name.ends_with("+sentinel");
    const bool by_cluster = name.ends_with("+cluster");
    auto parts = cut(trimmed(text), by_sentinel ? kSentinel : by_cluster ? kCluster : kRedis);
    if (!parts) {
        return invalid(text, parts.error());
    }
    std::string_view path = parts->path;
    std::string master;
    if (by_sentinel) {
        master = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), master.size() + 1));
        if (master.empty() || master.size() > 200) {
            return invalid(text, "the path must begin with the master's name: /name or /name/db");
        }
    }
    const auto db = path.empty() ? 0 : decimal<int>(path);
    if (!db) {
        return invalid(text, "the path must be the number of a database");
    }
    if (by_cluster && *db != 0) {
        return invalid(text, "a cluster has no database but 0");
    }
    Endpoint first{.host = std::move(parts->host), .port = parts->port, .tls = parts->tls};
    if (by_sentinel || by_cluster) {
        parts->more_hosts.insert(parts->more_hosts.begin(), first);
    }
    return RedisUrl{.endpoint = std::move(first),
                    .sentinels = by_sentinel ? parts->more_hosts : std::vector<Endpoint>(),
                    .master = std::move(master),
                    .user = std::move(parts->user).value_or(""),
                    .password = std::move(parts->password).value_or(""),
                    .db = *db,
                    .cluster = by_cluster ? std::move(parts->more_hosts) : std::vector<Endpoint>()};
}

Result<std::vector<AmqpUrl>> parse_amqp_urls(std::string_view text) {
    std::vector<AmqpUrl> urls;
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find(',', begin), text.size());
        auto parts = cut(trimmed(text.substr(begin, end - begin)), kAmqp);
        if (!parts) {
            return invalid(text, parts.error());
        }
        AmqpUrl url{.endpoint = {.host = std::move(parts->host), .port = parts->port, .tls = parts->tls}};
        url.user = std::move(parts->user).value_or(url.user);
        url.password = std::move(parts->password).value_or(url.password);
        url.vhost = parts->path.empty() ? "/" : std::move(parts->path);
        urls.push_back(std::move(url));
        begin = end + 1;
    }
    return urls;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
    auto parts = cut(trimmed(text), kHttp);
    if (!parts) {
        return invalid(text, parts.error());
    }
    if (parts->user) {
        return invalid(text, "user and password belong into a header");
    }
    if (!std::ranges::all_of(parts->encoded_path, [](char c) { return c > ' ' && c < 0x7F; })) {
        return invalid(text, "the path must be printable ASCII without spaces ('%20' stands for one)");
    }
    return HttpUrl{.endpoint = {.host = std::move(parts->host), .port = parts->port, .tls = parts->tls},
                   .path = "/" + std::move(parts->encoded_path)};
}

bool is_host(std::string_view text) {
    return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' ||
               c == '_' || c == ':';
    });
}

Result<std::string> percent_decoded(std::string_view text) {
    auto plain = decoded(text);
    return plain ? Result<std::string>(std::move(*plain)) : fail(Errc::invalid, plain.error());
}

std::string mask_url(std::string_view text) {
    std::string masked;
    auto begin = text.find("://");
    if (begin == text.npos && text.contains('@')) {
        return "***";
    }
    masked += text.substr(0, begin);
    while (begin != text.npos) {
        // One URL ends where the next one's scheme begins, as far as one can know: a password may hold any other character.
        const auto next = text.find("://", begin + 3);
        const std::string_view url = text.substr(begin + 3, next == text.npos ? next : next - begin - 3);
        masked += "://";
        const auto at = url.rfind('@');
        if (at == url.npos) {
            masked += url;
        } else {
            // A lone name is hidden, too: it may be a password whose colon was forgotten.
            const auto colon = url.substr(0, at).find(':');
            masked += url.substr(0, colon == url.npos ? 0 : colon + 1);
            masked += "***";
            masked += url.substr(at);
        }
        begin = next;
    }
    return masked;
}

}  // namespace boardbus::transport

// URLs of whom we talk to: redis, rediss, both with +sentinel or +cluster, amqp, amqps, http, https.
//
// A URL carries a password, so no error text quotes any part of one except through mask_url().
// Spec: RFC 3986 §3; RabbitMQ URI Specification; IANA registration of the "redis" scheme.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "transport/stream.h"

namespace boardbus::transport {

struct RedisUrl {
    Endpoint endpoint;                  ///< Without sentinels and cluster.
    std::vector<Endpoint> sentinels{};  ///< They know where the master is.
    std::string master{};               ///< Its name among them.
    std::string user;                   ///< Empty: Redis's default user.
    std::string password;               ///< Both empty: no AUTH.
    int db = 0;
    std::vector<Endpoint> cluster{};  ///< Some nodes of a Redis Cluster; each knows the others.

    bool is_cluster() const { return !cluster.empty(); }
    /// Another server may take over, and somebody knows which.
    bool has_standby() const { return is_cluster() || !sentinels.empty(); }
};

struct AmqpUrl {
    Endpoint endpoint;
    std::string user = "guest";
    std::string password = "guest";
    std::string vhost = "/";
};

struct HttpUrl {
    Endpoint endpoint;
    std::string path = "/";  ///< As it was written, percent-encoded; begins with a slash.
};

/// `redis[s]://[user[:password]@]host[:port][/db]`, or `redis[s]+sentinel://[user[:password]@]host[:port][,host[:port]…]/master[/db]`,
/// where user and password are for sentinels and master both, or `redis[s]+cluster://[user[:password]@]host[:port][,host[:port]…][/0]`.
/// Errors: invalid.
Result<RedisUrl> parse_redis_url(std::string_view text);

/// One or more, comma-separated, `amqp[s]://[user[:password]@]host[:port][/vhost]`; no path and `/` both mean the vhost `/`.
/// Errors: invalid.
Result<std::vector<AmqpUrl>> parse_amqp_urls(std::string_view text);

/// `http[s]://host[:port][/path]`; a user is refused. Errors: invalid.
Result<HttpUrl> parse_http_url(std::string_view text);

/// The characters of a DNS name (253 of them at most: RFC 1035 §2.3.4) or of an IP address; an IPv6 address stands without brackets.
bool is_host(std::string_view text);

/// `%41` as `A`; a plus sign is a plus sign. Errors: invalid. Spec: RFC 3986 §2.1.
Result<std::string> percent_decoded(std::string_view text);

/// `text` with `***` for every password, well-formed or not; when in doubt too much is hidden.
std::string mask_url(std::string_view text);

}  // namespace boardbus::transport

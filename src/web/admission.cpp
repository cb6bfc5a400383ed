// See admission.h.
// SPDX-License-Identifier: Apache-2.0
#include "web/admission.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cctype>

#include "base/digest.h"
#include "base/utf8.h"

namespace boardbus::web {
namespace {

constexpr std::size_t kBoardIdMax = 256;  // Bytes, decoded.

constexpr std::string_view kBearer = "bearer ";

enum class Plus { literal, space };

int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

struct Decoded {
    std::string text;
    bool whole = true;  ///< No escape was broken.
};

Decoded percent_decode(std::string_view raw, Plus plus) {
    Decoded out;
    out.text.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
        if (raw[i] == '%') {
            const int high = i + 2 < raw.size() ? hex_value(raw[i + 1]) : -1;
            const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
            if (high >= 0 && low >= 0) {
                out.text.push_back(static_cast<char>(high * 16 + low));
                i += 2;
                continue;
            }
            out.whole = false;
        }
        out.text.push_back(raw[i] == '+' && plus == Plus::space ? ' ' : raw[i]);
    }
    return out;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    return out;
}

std::string_view default_port_of(std::string_view scheme) {
    return scheme == "https" ? ":443" : ":80";
}

/// host:port in lower case, without the port that `scheme` implies.
std::string authority(std::string_view text, std::string_view scheme) {
    std::string out = lower(text);
    if (out.ends_with(default_port_of(scheme))) {
        out.resize(out.size() - default_port_of(scheme).size());
    }
    return out;
}

/// The nearest proxy's word (the last of a list), with WebSocket schemes as their HTTP ones.
std::string forwarded_scheme(std::string_view forwarded_proto) {
    const auto comma = forwarded_proto.rfind(',');
    std::string scheme = lower(comma == std::string_view::npos ? forwarded_proto : forwarded_proto.substr(comma + 1));
    std::erase(scheme, ' ');
    if (scheme == "ws") {
        return "http";
    }
    return scheme == "wss" ? "https" : scheme;
}

}  // namespace

TokenCheck::TokenCheck(std::string_view token) : digest_(sha256(token)) {}

bool TokenCheck::matches(std::string_view presented) const {
    const auto digest = sha256(presented);
    return CRYPTO_memcmp(digest.data(), digest_.data(), digest.size()) == 0 && !presented.empty();
}

std::vector<std::string> query_values(std::string_view query, std::string_view name, std::size_t most) {
    std::vector<std::string> values;
    while (!query.empty() && values.size() < most) {
        const auto pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        const auto equals = pair.find('=');
        if (percent_decode(pair.substr(0, equals), Plus::space).text == name) {
            const auto value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
            values.push_back(percent_decode(value, Plus::space).text);
        }
    }
    return values;
}

std::string query_value(std::string_view query, std::string_view name) {
    auto values = query_values(query, name, query.size());
    return values.empty() ? std::string() : std::move(values.back());
}

std::string presented_token(std::string_view query, std::string_view authorization) {
    auto token = query_value(query, "token");
    if (!token.empty()) {
        return token;
    }
    if (lower(authorization.substr(0, kBearer.size())) != kBearer) {
        return {};
    }
    const auto begin = authorization.find_first_not_of(' ', kBearer.size());
    if (begin == std::string_view::npos) {
        return {};
    }
    return std::string(authorization.substr(begin, authorization.find_last_not_of(' ') - begin + 1));
}

bool is_listed_origin(std::string_view origin, const std::vector<std::string>& allowed) {
    return origin != "null" && std::find(allowed.begin(), allowed.end(), origin) != allowed.end();
}

bool admits_origin(std::string_view origin, std::string_view host, std::string_view forwarded_proto,
                   const std::vector<std::string>& allowed) {
    if (origin.empty() || is_listed_origin(origin, allowed)) {
        return true;
    }
    const auto separator = origin.find("://");
    if (separator == std::string_view::npos || host.empty()) {
        return false;
    }
    const auto scheme = lower(origin.substr(0, separator));
    if (scheme != "http" && scheme != "https") {
        return false;
    }
    const auto forwarded = forwarded_scheme(forwarded_proto);
    if (!forwarded.empty() && forwarded != scheme) {
        return false;
    }
    return authority(origin.substr(separator + 3), scheme) == authority(host, scheme);
}

std::optional<std::string> board_id_of(std::string_view segment) {
    if (segment.contains('/')) {
        return std::nullopt;
    }
    auto decoded = percent_decode(segment, Plus::literal);
    if (!decoded.whole || decoded.text.empty() || decoded.text.size() > kBoardIdMax || !is_utf8(decoded.text)) {
        return std::nullopt;
    }
    return std::move(decoded.text);
}

}  // namespace boardbus::web

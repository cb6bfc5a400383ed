// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_cluster.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <string>
#include <utility>

#include "transport/url.h"

namespace boardbus::transport {
namespace {

/// A host as a server names it. A node that does not know its own address names none: then it is the one where we asked. A question mark
/// means that it has not the kind of name that the cluster prefers.
std::optional<std::string> host_of(std::string_view name, const Endpoint& asked) {
    if (name.empty()) {
        return asked.host;
    }
    return is_host(name) ? std::optional<std::string>(name) : std::nullopt;
}

std::optional<std::uint16_t> port_of(long long number) {
    return number > 0 && number <= 65535 ? std::optional(static_cast<std::uint16_t>(number)) : std::nullopt;
}

/// `[host, port, id, …]`.
std::optional<Endpoint> node_of(const redisReply& reply, const Endpoint& asked) {
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements < 2 || reply.element[1]->type != REDIS_REPLY_INTEGER) {
        return std::nullopt;
    }
    const redisReply& name = *reply.element[0];
    if (name.type != REDIS_REPLY_STRING && name.type != REDIS_REPLY_NIL) {
        return std::nullopt;
    }
    auto host = host_of(text_of(name), asked);
    const auto port = port_of(reply.element[1]->integer);
    if (!host || !port) {
        return std::nullopt;
    }
    return Endpoint{.host = std::move(*host), .port = *port, .tls = asked.tls};
}

void remember(std::vector<Endpoint>& nodes, const Endpoint& node) {
    if (nodes.size() < kClusterNodesMax && std::ranges::find(nodes, node) == nodes.end()) {
        nodes.push_back(node);
    }
}

}  // namespace

std::uint16_t crc16(std::string_view text) {
    std::uint32_t crc = 0;
    for (const char byte : text) {
        crc ^= static_cast<std::uint32_t>(static_cast<unsigned char>(byte)) << 8;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
        }
    }
    return static_cast<std::uint16_t>(crc);
}

std::uint16_t slot_of(std::string_view key) {
    const auto open = key.find('{');
    const auto close = open == key.npos ? key.npos : key.find('}', open + 1);
    if (close != key.npos && close > open + 1) {
        key = key.substr(open + 1, close - open - 1);
    }
    return crc16(key) % kClusterSlots;
}

Result<ClusterView> read_cluster_slots(const redisReply& reply, std::uint16_t slot, const Endpoint& asked) {
    if (reply.type != REDIS_REPLY_ARRAY) {
        return fail(Errc::unavailable,
                    is_error(reply) ? std::string(text_of(reply)) : "answers CLUSTER SLOTS with something else");
    }
    std::optional<Endpoint> master;
    std::vector<Endpoint> nodes;
    for (const redisReply* range : std::span(reply.element, reply.elements)) {
        const bool has_form = range->type == REDIS_REPLY_ARRAY && range->elements >= 3 &&
                              range->element[0]->type == REDIS_REPLY_INTEGER &&
                              range->element[1]->type == REDIS_REPLY_INTEGER;
        if (!has_form) {
            return fail(Errc::unavailable, "answers CLUSTER SLOTS with something else");
        }
        const bool is_ours = range->element[0]->integer <= slot && slot <= range->element[1]->integer;
        for (std::size_t i = 2; i < range->elements; ++i) {
            const auto node = node_of(*range->element[i], asked);
            if (node) {
                remember(nodes, *node);
            }
            if (is_ours && i == 2) {
                master = node;
            }
        }
    }
    if (!master) {
        return fail(Errc::unavailable, "names nobody who serves slot " + std::to_string(slot));
    }
    return ClusterView{.master = std::move(*master), .nodes = std::move(nodes)};
}

bool is_cluster_ok(const redisReply& info) {
    return text_of(info).contains("cluster_state:ok");
}

std::optional<Endpoint> moved_to(std::string_view error, const Endpoint& asked) {
    constexpr std::string_view kMoved = "MOVED ";
    const auto space = error.starts_with(kMoved) ? error.find(' ', kMoved.size()) : error.npos;
    // An IPv6 address has colons of its own, and no brackets here.
    const auto colon = error.rfind(':');
    if (space == error.npos || colon == error.npos || colon < space) {
        return std::nullopt;
    }
    const std::string_view digits = error.substr(colon + 1);
    long long number = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const auto port = code == std::errc() && end == digits.data() + digits.size() ? port_of(number) : std::nullopt;
    auto host = host_of(error.substr(space + 1, colon - space - 1), asked);
    if (!port || !host) {
        return std::nullopt;
    }
    return Endpoint{.host = std::move(*host), .port = *port, .tls = asked.tls};
}

}  // namespace boardbus::transport

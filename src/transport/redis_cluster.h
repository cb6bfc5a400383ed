// What Redis Cluster says about itself: which slot a key is in, who serves it, and where it has moved.
//
// A cluster spreads 16,384 slots over its masters; a key's slot is a checksum of it, or of the part in braces (the hash tag), and a script
// may touch the keys of one slot only. Pure: texts and replies; what comes from a server is checked like anything from outside.
// Spec: Redis Cluster Specification, "Key distribution model", "Hash tags", "MOVED Redirection"; CLUSTER SLOTS.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "transport/redis_protocol.h"
#include "transport/stream.h"

namespace boardbus::transport {

inline constexpr std::uint16_t kClusterSlots = 16384;

/// CRC-16/XMODEM: polynomial 0x1021, begins with 0, nothing reflected.
std::uint16_t crc16(std::string_view text);

/// The slot of a key: of what stands between its first `{` and the next `}`, unless that is nothing.
std::uint16_t slot_of(std::string_view key);

/// What one node knows.
struct ClusterView {
    Endpoint master;              ///< Serves the slot.
    std::vector<Endpoint> nodes;  ///< All that have an address, at most kClusterNodesMax.
};
// Enough to find a cluster again whose nodes of the URL are gone, and not too many to ask one after the other.
inline constexpr std::size_t kClusterNodesMax = 16;

/// Reads the answer to CLUSTER SLOTS that came from `asked`, whose host stands for one that a node does not name.
/// Errors: unavailable (nobody serves the slot, an error reply, another form).
Result<ClusterView> read_cluster_slots(const redisReply& reply, std::uint16_t slot, const Endpoint& asked);

/// Whether the answer to CLUSTER INFO says that the node is with the majority, and all slots are served as far as the cluster demands.
bool is_cluster_ok(const redisReply& info);

/// `MOVED 3999 127.0.0.1:6381`: the address; none when the text is something else.
std::optional<Endpoint> moved_to(std::string_view error, const Endpoint& asked);

}  // namespace boardbus::transport

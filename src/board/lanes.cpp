// SPDX-License-Identifier: Apache-2.0
#include "board/lanes.h"

#include <cassert>
#include <cstdint>

namespace boardbus::board {
namespace {

std::uint64_t hash_of(std::string_view text) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char byte : text) {
        hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ULL;
    }
    return hash;
}

}  // namespace

std::size_t lane_of(std::string_view board, std::size_t lanes) {
    std::uint64_t key = hash_of(board);
    std::int64_t lane = 0;
    // Expected rounds: ln(lanes).
    for (std::int64_t next = 0; next < static_cast<std::int64_t>(lanes);) {
        lane = next;
        key = key * 2862933555777941757ULL + 1;
        const double jump = static_cast<double>(std::int64_t{1} << 31) / static_cast<double>((key >> 33) + 1);
        next = static_cast<std::int64_t>(static_cast<double>(lane + 1) * jump);
    }
    return static_cast<std::size_t>(lane);
}

TopologyOptions lane_options(const TopologyOptions& options, std::size_t lane) {
    TopologyOptions own = options;
    if (lane > 0) {
        const std::string suffix = ".lane." + std::to_string(lane + 1);
        for (RouteNames* names : {&own.main, &own.retry}) {
            names->queue += suffix;
            names->routing_key += suffix;
        }
    }
    return own;
}

std::vector<Topology> make_lanes(const TopologyOptions& options, std::size_t lanes) {
    std::vector<Topology> topologies;
    topologies.reserve(lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        topologies.push_back(make_topology(lane_options(options, lane)));
    }
    return topologies;
}

const std::string& owner_of(std::size_t lane, const std::vector<std::string>& workers) {
    assert(!workers.empty());
    return workers[lane % workers.size()];
}

}  // namespace boardbus::board

// Which main queue carries a board's messages.
//
// Lanes spread boards over several main queues, each with one active consumer: a board stays in its lane, so its order stays, and
// different lanes are worked on at the same time. Lane 0 has the names of the only queue there is without lanes, so that raising the
// number strands nothing. Pure; any thread. Spec: CONTRACT §5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "board/topology.h"

namespace boardbus::board {

inline constexpr std::size_t kLanesMax = 64;

/// The lane of a board, from 0. When the number grows from n to n + 1 a board in n + 1 moves, and only to the new lane.
/// Spec: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014), over FNV-1a of the board's id.
std::size_t lane_of(std::string_view board, std::size_t lanes);

/// The names of one lane: those given for lane 0; the same with `.lane.2`, `.lane.3` … behind main and retry names for the others. All lanes
/// share the exchanges and the dead letter queue.
TopologyOptions lane_options(const TopologyOptions& options, std::size_t lane);

/// One topology for each lane.
std::vector<Topology> make_lanes(const TopologyOptions& options, std::size_t lanes);

/// Whose turn each lane is: `workers` are the ids of those that live, sorted, without repeats. Each gets as many lanes as any other,
/// give or take one. `workers` must not be empty.
const std::string& owner_of(std::size_t lane, const std::vector<std::string>& workers);

}  // namespace boardbus::board

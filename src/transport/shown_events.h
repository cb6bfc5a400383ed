// The events that were shown last, by their places.
//
// After a failover the history may hold another event at a place. That is found only by who remembers. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace boardbus::transport {

class ShownEvents {
  public:
    /// 4,096 × about 100 B = 0.4 MB. The oldest is forgotten.
    static constexpr std::size_t kMost = 4096;

    /// What stands elsewhere than behind the last one begins anew.
    void add(std::uint64_t pos, std::string_view event_id) {
        if (pos != last_ + 1) {
            ids_.clear();
        } else if (ids_.size() == kMost) {
            ids_.pop_front();
        }
        ids_.emplace_back(event_id);
        last_ = pos;
    }

    /// The event at a place; empty when it is not remembered.
    std::string_view at(std::uint64_t pos) const {
        return !ids_.empty() && pos >= oldest_place() && pos <= last_ ? std::string_view(ids_[pos - oldest_place()])
                                                                      : "";
    }

    /// The first place that at() knows; 0: none.
    std::uint64_t oldest_place() const { return ids_.empty() ? 0 : last_ - ids_.size() + 1; }

    /// The history goes on at another place, or another one follows.
    void forget_places() { ids_.clear(); }

  private:
    std::deque<std::string> ids_;  // At most kMost, of consecutive places.
    std::uint64_t last_ = 0;
};

}  // namespace boardbus::transport

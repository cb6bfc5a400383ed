// The events that were shown last: which one stood where, and whether one has been shown before.
//
// After a failover the history may hold another event at a place, and may bring an event again at another place. Both are found only by
// who remembers. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace boardbus::transport {

class ShownEvents {
  public:
    /// 4,096 × about 250 B = 1 MB. The oldest is forgotten.
    static constexpr std::size_t kMost = 4096;

    void add(std::uint64_t pos, std::string_view event_id) {
        if (events_.size() == kMost) {
            forget_oldest();
        }
        placed_ = placed_ > 0 && events_.back().pos + 1 == pos ? placed_ + 1 : 1;
        events_.push_back({pos, std::string(event_id)});
        Shown& shown = shown_[events_.back().id];
        ++shown.times;
        shown.history = history_;
    }

    /// Whether the event was shown as a part of another history than the one that is followed now, and not of this one.
    bool shown_before(std::string_view event_id) const {
        const auto found = shown_.find(event_id);
        return found != shown_.end() && found->second.history != history_;
    }

    /// The event at a place of the history that is followed now; empty when it is not remembered.
    std::string_view at(std::uint64_t pos) const {
        const bool known = placed_ > 0 && pos <= events_.back().pos && pos >= oldest_place();
        return known ? std::string_view(events_[events_.size() - 1 - (events_.back().pos - pos)].id) : "";
    }

    /// The first place that at() knows; 0: none.
    std::uint64_t oldest_place() const { return placed_ == 0 ? 0 : events_.back().pos - placed_ + 1; }

    /// The history goes on at another place.
    void forget_places() { placed_ = 0; }

    /// Another history follows: the events stay known, their places are void.
    void begin_history() {
        placed_ = 0;
        ++history_;
    }

  private:
    struct Event {
        std::uint64_t pos;
        std::string id;
    };
    struct Shown {
        int times = 0;
        std::uint64_t history = 0;  ///< Of the last time.
    };
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
    };

    void forget_oldest() {
        const auto found = shown_.find(std::string_view(events_.front().id));
        if (--found->second.times == 0) {
            shown_.erase(found);
        }
        events_.pop_front();
        placed_ = std::min(placed_, events_.size());
    }

    std::deque<Event> events_;  // At most kMost.
    std::unordered_map<std::string, Shown, TextHash, std::equal_to<>> shown_;
    std::uint64_t history_ = 0;
    std::size_t placed_ = 0;  // So many at the end of events_ stand at places that follow each other.
};

}  // namespace boardbus::transport

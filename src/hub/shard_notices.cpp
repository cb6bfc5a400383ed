// What the readers of a loop are told beside events.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "hub/shard.h"

namespace boardbus::hub {

void Shard::tell(std::string_view board, const EncodedNotice& notice) {
    for (Groups& groups : groups_) {
        const auto found = groups.find(board);
        if (found == groups.end()) {
            continue;
        }
        if (found->second->frames > 0) {
            write_run(*found->second);
        }
        // A copy: a reader that is closed leaves the list, and the last one takes the group along.
        const std::vector<Member> members = found->second->members;
        const std::string name(board);
        for (const Member& member : members) {
            member.reader->on_notice(name, notice);
        }
    }
}

void Shard::on_live(bool live) const {
    if (listener_.on_live) {
        listener_.on_live(live);
    }
}

void Shard::on_epoch(const std::string& epoch) const {
    if (listener_.on_epoch) {
        listener_.on_epoch(epoch);
    }
}

void Shard::cut_shared() {
    std::vector<Reader*> readers;
    for (Groups& groups : groups_) {
        for (auto& [board, group] : groups) {
            if (group->shared == 0) {
                continue;
            }
            if (group->frames > 0) {
                write_run(*group);
            }
            for (const Member& member : group->members) {
                if (is_shared(*member.reader)) {
                    readers.push_back(member.reader);
                }
            }
        }
    }
    // Each once: it is destroyed by what it is told.
    std::ranges::sort(readers);
    readers.erase(std::ranges::unique(readers).begin(), readers.end());
    for (Reader* reader : readers) {
        reader->on_notice({}, {.kind = Notice::Kind::cut, .forms = {}});
    }
}

void Shard::on_overrun() {
    for (Groups& groups : groups_) {
        for (auto& [board, group] : groups) {
            for (Member& member : group->members) {
                mark(*member.reader, Trouble::too_slow);
            }
        }
    }
}

}  // namespace boardbus::hub

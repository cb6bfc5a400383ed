// SPDX-License-Identifier: Apache-2.0
#include "transport/memory_history.h"

#include <algorithm>
#include <utility>

#include "board/activity.h"

namespace boardbus::transport {

using board::HistoryPage;

namespace {

template <typename Pointer>
std::uint64_t seq_of(const Pointer& entry) {
    return entry->seq;
}

/// Where a page that begins at `from` ends: before the limits, but behind one event at least.
template <typename Entries>
std::size_t page_end(const Entries& entries, std::size_t from, std::size_t limit) {
    const std::size_t most = std::min({limit, MemoryHistory::kPageEventsMax, entries.size() - from});
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < most) {
        bytes += entries[from + count]->json.size();
        if (count > 0 && bytes > MemoryHistory::kPageBytesMax) {
            break;
        }
        ++count;
    }
    return from + count;
}

/// Where a page that ends at `to` begins.
template <typename Entries>
std::size_t page_begin(const Entries& entries, std::size_t to, std::size_t limit) {
    const std::size_t most = std::min({limit, MemoryHistory::kPageEventsMax, to});
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < most) {
        bytes += entries[to - count - 1]->json.size();
        if (count > 0 && bytes > MemoryHistory::kPageBytesMax) {
            break;
        }
        ++count;
    }
    return to - count;
}

template <typename Entries>
std::size_t cut(Entries& entries, std::size_t most) {
    const std::size_t count = entries.size() > most ? entries.size() - most : 0;
    entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
}

}  // namespace

std::optional<board::ActivityView> MemoryHistory::append(const board::CommitRequest& request, WallTime now) {
    const auto known = boards_.find(request.board_id);
    // A board without a number begins at its pos, above everything that it ever had.
    const std::uint64_t pos = pos_ + 1;
    const std::uint64_t seq = known == boards_.end() ? pos : known->second.last + 1;
    const board::Position position{.epoch = epoch_, .pos = pos, .seq = seq};
    auto event = board::placed_view(request, position);
    if (!event) {
        return {};
    }
    pos_ = pos;
    const auto time = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    const auto entry = std::make_shared<const Entry>(Entry{.json = event->json, .pos = pos, .seq = seq, .time = time});
    Board& board = known == boards_.end() ? boards_[request.board_id] : known->second;
    board.last = seq;
    board.entries.push_back(entry);
    if (board.listed_pos == 0 || seq % bounds_.board_step() == 0) {
        list(request.board_id, board, pos);
    }
    log_.push_back(entry);
    ++kept_;
    keep_bounds(request.board_id, time);
    return std::move(*event);
}

// In the order of the commit script.
void MemoryHistory::keep_bounds(const std::string& name, std::chrono::seconds now) {
    const auto cutoff = now - bounds_.age;
    if (pos_ % bounds_.log_step() == 0) {
        cut(log_, bounds_.size);
        age(log_, cutoff);
        for (std::size_t i = 0; i < HistoryBounds::kAgedPerStep; ++i) {
            const std::string* const idle = idlest();
            if (idle == nullptr || *idle == name || boards_.at(*idle).entries.back()->time >= cutoff) {
                break;
            }
            evict(*idle);
        }
    }
    Board& board = boards_.at(name);
    if (board.last % bounds_.board_step() == 0) {
        kept_ -= cut(board.entries, bounds_.of_board());
        kept_ -= age(board.entries, cutoff);
    }
    for (std::size_t i = 0; i < HistoryBounds::kEvictedPerCommit && kept_ > bounds_.size; ++i) {
        const std::string* const idle = idlest();
        if (idle != nullptr && *idle == name) {
            break;
        }
        if (idle != nullptr) {
            evict(*idle);
        }
    }
}

/// The board that has been idle longest. Null when its place was wrong and has been corrected.
const std::string* MemoryHistory::idlest() {
    const std::string& name = idle_.begin()->second;
    Board& board = boards_.at(name);
    const std::uint64_t newest = board.entries.back()->pos;
    if (newest > board.listed_pos) {
        list(std::string(name), board, newest);
        return nullptr;
    }
    return &name;
}

void MemoryHistory::list(const std::string& name, Board& board, std::uint64_t pos) {
    idle_.erase(board.listed_pos);
    idle_.emplace(pos, name);
    board.listed_pos = pos;
}

std::size_t MemoryHistory::age(Entries& entries, std::chrono::seconds cutoff) const {
    const auto end =
        entries.begin() + static_cast<std::ptrdiff_t>(std::min(entries.size(), HistoryBounds::kAgedEvents));
    const auto young = std::find_if(entries.begin(), end, [&](const auto& entry) { return entry->time >= cutoff; });
    const auto count = static_cast<std::size_t>(young - entries.begin());
    entries.erase(entries.begin(), young);
    return count;
}

void MemoryHistory::evict(const std::string& name) {
    const auto board = boards_.find(name);
    kept_ -= board->second.entries.size();
    forgotten_ = std::max(forgotten_, board->second.entries.back()->pos);
    idle_.erase(board->second.listed_pos);  // `name` may have lived there.
    boards_.erase(board);
}

void MemoryHistory::read_board_after(std::string board, std::uint64_t after, std::size_t limit,
                                     board::HistoryDone done) {
    const auto known = boards_.find(board);
    if (known == boards_.end()) {
        return done(page({}, 0, 0, 0));
    }
    const Entries& entries = known->second.entries;
    const auto begin = std::ranges::upper_bound(entries, after, {}, seq_of<Entries::value_type>);
    const auto from = static_cast<std::size_t>(begin - entries.begin());
    done(page(entries, known->second.last, from, page_end(entries, from, limit)));
}

void MemoryHistory::read_board_before(std::string board, std::uint64_t before, std::size_t limit,
                                      board::HistoryDone done) {
    const auto known = boards_.find(board);
    if (known == boards_.end()) {
        return done(page({}, 0, 0, 0));
    }
    const Entries& entries = known->second.entries;
    const auto end = std::ranges::lower_bound(entries, before, {}, seq_of<Entries::value_type>);
    const auto to = static_cast<std::size_t>(end - entries.begin());
    done(page(entries, known->second.last, page_begin(entries, to, limit), to));
}

void MemoryHistory::read_all_after(std::uint64_t after, std::size_t limit, board::HistoryDone done) {
    const auto begin = std::ranges::upper_bound(log_, after, {}, [](const auto& entry) { return entry->pos; });
    const auto from = static_cast<std::size_t>(begin - log_.begin());
    done(page(log_, pos_, from, page_end(log_, from, limit)));
}

HistoryPage MemoryHistory::page(const Entries& entries, std::uint64_t last, std::size_t begin, std::size_t end) const {
    HistoryPage made{.epoch = pos_ == 0 ? "" : epoch_, .events = {}, .first = 0, .last = last, .forgotten = forgotten_};
    if (!entries.empty()) {
        made.first = &entries == &log_ ? entries.front()->pos : entries.front()->seq;
    }
    made.events.reserve(end - begin);
    for (std::size_t i = begin; i < end; ++i) {
        made.events.push_back(std::move(*board::parse_activity(entries[i]->json)));  // Its own bytes: they are good.
    }
    return made;
}

}  // namespace boardbus::transport

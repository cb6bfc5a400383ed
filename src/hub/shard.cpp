// SPDX-License-Identifier: Apache-2.0
#include "hub/shard.h"

#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "hub/hub.h"

namespace boardbus::hub {
namespace {

// A run is written before the end of the turn when it has grown to this: the first reader of a long list should not
// wait for ever.
constexpr std::size_t kRunFrames = 64;
constexpr std::size_t kRunBytes = 64 * 1024;

// 16 buffers × 64 KiB = 1 MiB a loop at worst: more boards than that are rarely busy in the same turn.
constexpr std::size_t kSpareBuffers = 16;
constexpr std::size_t kSpareBytesMax = 2 * kRunBytes;

}  // namespace

Reader::~Reader() {
    shard_.forget(*this);
}

std::string_view Reader::board() const {
    return first_.group != nullptr ? std::string_view(first_.group->board) : std::string_view();
}

Shard::Shard(Loop& loop, Hub& hub, SlowBudget& budget, telemetry::LoopCounters& counters)
    : loop_(loop), hub_(hub), budget_(budget), counters_(counters) {
    loop_.add_turn_end(*this);
}

Shard::~Shard() {
    loop_.remove_turn_end(*this);
}

void Shard::join(Reader& reader, std::string_view board) {
    // What has been appended in this turn is older than the reader, and it sees it all the same: it joined before the
    // write.
    place(reader, board);
    hub_.report_join(*this, board, reader.form_);
}

void Shard::join_counted(Reader& reader, std::string_view board) {
    const Groups& groups = groups_[static_cast<std::size_t>(reader.form_)];
    if (const auto found = groups.find(board); found != groups.end() && found->second->frames > 0) {
        write_run(*found->second);  // It is in the reader's replay, or was before its time.
    }
    place(reader, board);
}

Group& Shard::place(Reader& reader, std::string_view board) {
    Groups& groups = groups_[static_cast<std::size_t>(reader.form_)];
    auto found = groups.find(board);
    if (found == groups.end()) {
        auto group = std::make_unique<Group>();
        group->board = board;
        group->form = reader.form_;
        found = groups.emplace(std::string(board), std::move(group)).first;
    }
    Group& group = *found->second;
    Membership* place = &reader.first_;
    if (place->group != nullptr) {
        if (is_stream(reader.form_)) {
            place->group->shared += place->next == nullptr ? 1 : 0;
            ++group.shared;
        }
        auto next = std::make_unique<Membership>();
        next->next = std::move(place->next);
        place->next = std::move(next);
        place = place->next.get();
    }
    place->group = &group;
    place->index = static_cast<std::uint32_t>(group.members.size());
    group.members.push_back({.fd = reader.fd(), .slow = reader.outbox_ != nullptr, .reader = &reader});
    return group;
}

bool Shard::is_shared(const Reader& reader) {
    return is_stream(reader.form_) && reader.first_.next != nullptr;
}

void Shard::leave(Reader& reader) {
    for (Membership* place = &reader.first_; place != nullptr && place->group != nullptr; place = place->next.get()) {
        take_out(reader, *place);
    }
    reader.first_ = Membership();
}

bool Shard::leave(Reader& reader, std::string_view board) {
    Membership* before = nullptr;
    for (Membership* place = &reader.first_; place != nullptr && place->group != nullptr;
         before = std::exchange(place, place->next.get())) {
        if (place->group->board != board) {
            continue;
        }
        take_out(reader, *place);
        if (before != nullptr) {
            before->next = std::move(place->next);
        } else if (place->next) {
            Membership next = std::move(*place->next);
            reader.first_ = std::move(next);
        } else {
            reader.first_ = Membership();
        }
        return true;
    }
    return false;
}

void Shard::take_out(Reader& reader, const Membership& place) {
    Group& group = *place.group;
    const Member last = group.members.back();
    group.members[place.index] = last;
    group.members.pop_back();
    if (last.reader != &reader) {
        Membership* moved = &last.reader->first_;
        while (moved->group != &group) {
            moved = moved->next.get();
        }
        moved->index = place.index;
    }
    group.shared -= is_shared(reader) ? 1 : 0;
    hub_.report_leave(*this, group.board, reader.form_);
    if (group.members.empty()) {
        drop_empty(group);
    }
}

void Shard::drop_empty(Group& group) {
    if (group.dirty) {
        std::erase(dirty_, &group);
    }
    if (shared_run_ == &group) {
        shared_run_ = nullptr;
    }
    Groups& groups = groups_[static_cast<std::size_t>(group.form)];
    groups.erase(groups.find(std::string_view(group.board)));
}

void Shard::deliver(const Batch& batch) {
    for (std::size_t form = 0; form < kForms; ++form) {
        Groups& groups = groups_[form];
        if (groups.empty()) {
            continue;
        }
        const auto all = groups.find(std::string_view());
        Group* const global = all == groups.end() || !batch.for_streams_of_all ? nullptr : all->second.get();
        for (const EncodedEvent& event : batch.events) {
            const std::string_view bytes = batch.text(event.forms[form]);
            if (bytes.empty()) {
                continue;
            }
            if (global != nullptr) {
                append(*global, bytes, batch.arrived);
            }
            const auto found = groups.find(batch.text(event.board));
            // Another program's event may have no board's name, which here is the name of all boards.
            if (found != groups.end() && found != all) {
                append(*found->second, bytes, batch.arrived);
            }
        }
    }
}

/// A stream has one cursor for all its boards: what a later event's cursor stands for must have been written before it. So of the boards
/// that share a stream only one at a time has a run.
void Shard::append(Group& group, std::string_view bytes, Instant arrived) {
    if (group.shared > 0 && shared_run_ != &group) {
        if (shared_run_ != nullptr && shared_run_->frames > 0) {
            write_run(*shared_run_);
        }
        shared_run_ = &group;
    }
    if (!group.dirty) {
        group.dirty = true;
        group.arrived = arrived;
        dirty_.push_back(&group);
        if (!spare_.empty()) {
            group.pending = std::move(spare_.back());
            spare_.pop_back();
        }
        if (loop_.now() == turn_ended_) {
            // A later hook of this turn brought the event: the next turn must not wait for somebody else's input.
            loop_.again();
        }
    }
    group.pending += bytes;
    group.last_event = loop_.now();
    if (++group.frames >= kRunFrames || group.pending.size() >= kRunBytes) {
        write_run(group);
    }
}

void Shard::write_run(Group& group) {
    const std::string_view bytes = group.pending;
    Run shared;  // Made for the first slow reader of this run.
    std::size_t written_directly = 0;
    for (Member& member : group.members) {
        ssize_t written = 0;
        if (!member.slow) [[likely]] {
            written = ::send(member.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (written == static_cast<ssize_t>(bytes.size())) [[likely]] {
                ++written_directly;
                continue;
            }
        }
        write_slowly(member, bytes, written, shared);
    }
    telemetry::ReaderCounters& counters = counters_of(group.form);
    counters.deliveries.add(group.frames * group.members.size());
    counters.frames_sent.add(group.frames * group.members.size());
    counters.bytes_sent.add(bytes.size() * written_directly);
    group.pending.clear();
    group.frames = 0;
}

void Shard::write_slowly(Member& member, std::string_view bytes, ssize_t written, Run& shared) {
    Reader& reader = *member.reader;
    if (reader.trouble_ != Trouble::none) {
        return;
    }
    if (written < 0 && errno != EAGAIN && errno != EINTR) {
        mark(reader, Trouble::lost);
        return;
    }
    if (!shared) {
        shared = std::make_shared<const std::string>(bytes);
    }
    const auto sent = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
    counters_of(reader).bytes_sent.add(sent);
    queue(reader, shared, sent);
}

void Shard::queue(Reader& reader, Run run, std::size_t offset) {
    if (!reader.outbox_) {
        reader.outbox_ = std::make_unique<Outbox>(budget_);
        mark_slow(reader, true);
        update_interest(reader);
    }
    const std::size_t before = reader.outbox_->bytes();
    if (reader.outbox_->push(run, offset) == Push::too_slow) {
        mark(reader, Trouble::too_slow);
        if (offset == 0) {
            return;
        }
        // Part of it is on its way: without the rest no later byte, not even the close frame, could be read.
        reader.outbox_->push_last(std::move(run), offset);
    }
    counters_of(reader).backlog_bytes.add(reader.outbox_->bytes() - before);
}

void Shard::send(Reader& reader, std::string_view bytes) {
    if (reader.trouble_ != Trouble::none) {
        return;
    }
    std::size_t sent = 0;
    if (!reader.outbox_) {
        const ssize_t written = ::send(reader.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            mark(reader, Trouble::lost);
            return;
        }
        sent = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
        counters_of(reader).bytes_sent.add(sent);
    }
    counters_of(reader).frames_sent.add();
    if (sent < bytes.size()) {
        queue(reader, std::make_shared<const std::string>(bytes), sent);
    }
}

void Shard::send_last(Reader& reader, std::string_view bytes) {
    leave(reader);
    if (!reader.outbox_) {
        send(reader, bytes);
        return;
    }
    counters_of(reader).backlog_bytes.subtract(reader.outbox_->bytes());
    reader.outbox_->drop_unstarted();
    if (!bytes.empty()) {
        reader.outbox_->push_last(std::make_shared<const std::string>(bytes));
    }
    counters_of(reader).backlog_bytes.add(reader.outbox_->bytes());
    counters_of(reader).frames_sent.add();
    update_interest(reader);
}

void Shard::on_writable(Reader& reader) {
    if (!reader.outbox_) {
        return;
    }
    const std::size_t before = reader.outbox_->bytes();
    const Flush flush = reader.outbox_->flush(reader.fd());
    const std::size_t written = before - reader.outbox_->bytes();
    counters_of(reader).bytes_sent.add(written);
    counters_of(reader).backlog_bytes.subtract(written);
    if (flush == Flush::lost) {
        mark(reader, Trouble::lost);
    } else if (flush == Flush::drained) {
        close_outbox(reader);
        // One in trouble has missed events: nothing may follow them, however empty its backlog is now.
        mark_slow(reader, reader.trouble_ != Trouble::none);
        update_interest(reader);
    }
}

void Shard::close_outbox(Reader& reader) {
    if (reader.outbox_) {
        counters_of(reader).backlog_bytes.subtract(reader.outbox_->bytes());
        reader.outbox_.reset();
    }
}

void Shard::set_reading(Reader& reader, bool reading) {
    if (reader.reading_ != reading) {
        reader.reading_ = reading;
        update_interest(reader);
    }
}

Instant Shard::last_event(const Reader& reader) {
    Instant last{};
    for (const Membership* place = &reader.first_; place != nullptr && place->group != nullptr;
         place = place->next.get()) {
        last = std::max(last, place->group->last_event);
    }
    return last;
}

void Shard::on_turn_end() {
    for (Group* group : dirty_) {
        if (group->frames > 0) {
            write_run(*group);
        }
    }
    if (!dirty_.empty()) {
        const Instant written = std::chrono::steady_clock::now();
        for (Group* group : dirty_) {
            counters_.fan_out.observe(written - group->arrived);
            group->dirty = false;
            if (spare_.size() < kSpareBuffers && group->pending.capacity() <= kSpareBytesMax) {
                spare_.push_back(std::move(group->pending));
            }
            group->pending = std::string();
        }
        dirty_.clear();
    }
    // One at a time: a reader that hears of its trouble may close others, and they leave this list.
    while (!troubled_.empty()) {
        Reader& reader = *troubled_.back();
        troubled_.pop_back();
        reader.on_trouble(std::exchange(reader.trouble_, Trouble::none));
    }
    turn_ended_ = loop_.now();
}

void Shard::mark_slow(Reader& reader, bool slow) {
    for (Membership* place = &reader.first_; place != nullptr && place->group != nullptr; place = place->next.get()) {
        place->group->members[place->index].slow = slow;
    }
}

void Shard::mark(Reader& reader, Trouble trouble) {
    if (reader.trouble_ == Trouble::none) {
        troubled_.push_back(&reader);
    }
    reader.trouble_ = std::max(reader.trouble_, trouble);
    // A reader in trouble gets nothing more: the flag keeps the walk away from its socket.
    mark_slow(reader, true);
    if (loop_.now() == turn_ended_) {
        loop_.again();
    }
}

void Shard::forget(Reader& reader) {
    leave(reader);
    close_outbox(reader);
    if (reader.trouble_ != Trouble::none) {
        std::erase(troubled_, &reader);
    }
}

void Shard::update_interest(Reader& reader) {
    const std::uint32_t events = (reader.reading_ ? EPOLLIN : 0U) | (reader.outbox_ ? EPOLLOUT : 0U);
    loop_.modify(reader.fd(), events, reader);
}

telemetry::ReaderCounters& Shard::counters_of(Form form) {
    switch (form) {
        case Form::ws:
        case Form::ws_deflate:
            return counters_.websocket;
        case Form::sse_chunked:
        case Form::sse_plain:
            return counters_.sse;
        case Form::none:
            break;
    }
    return uncounted_;
}

}  // namespace boardbus::hub

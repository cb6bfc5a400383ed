// SPDX-License-Identifier: Apache-2.0
#include "transport/memory_bus.h"

#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "board/cursor.h"

namespace boardbus::transport {

MemoryBus::MemoryBus(Loop& loop, board::ActivitySink& sink, MemoryBusOptions options)
    : loop_(loop), sink_(sink), options_(options), history_(board::epoch_text(random_u64()), options.history) {}

void MemoryBus::start() {
    sink_.on_begin(history_.epoch(), 0);
    sink_.on_live(true);
}

void MemoryBus::commit(std::vector<board::CommitRequest> batch, CommitDone done) {
    forget_old_keys();
    std::vector<board::CommitResult> results;
    results.reserve(batch.size());
    std::vector<board::ActivityView> activities;
    activities.reserve(batch.size());
    const WallTime now = wall_now();
    for (const board::CommitRequest& request : batch) {
        results.push_back({claim(request), {}});
        if (results.back().status == board::CommitResult::Status::duplicate) {
            continue;
        }
        if (auto event = history_.append(request, now)) {
            activities.push_back(std::move(*event));
        } else {
            results.back() = {board::CommitResult::Status::failed, "not an event"};
        }
    }
    if (!activities.empty()) {
        sink_.on_activities(std::move(activities));
    }
    done(std::move(results));
}

board::CommitResult::Status MemoryBus::claim(const board::CommitRequest& request) {
    using Status = board::CommitResult::Status;
    Mark* known = find(request.idempotency_key);
    if (known == nullptr) {
        remember(request.idempotency_key, request.fingerprint);
        return Status::fresh;
    }
    if (known->fingerprint != request.fingerprint) {
        std::string own = request.idempotency_key + ':' + request.fingerprint;
        known = find(own);
        if (known == nullptr) {
            remember(std::move(own), request.fingerprint);
            return Status::conflict;
        }
        if (known->fingerprint != request.fingerprint) {
            known->fingerprint = request.fingerprint;  // A client had chosen such a key itself, for something else.
            known->expires = loop_.now() + options_.idempotency_ttl;
            return Status::conflict;
        }
    }
    known->expires = loop_.now() + options_.idempotency_ttl;
    return Status::duplicate;
}

MemoryBus::Mark* MemoryBus::find(std::string_view key) {
    const auto at = by_key_.find(MarkAt(key));
    return at == by_key_.end() ? nullptr : at->mark;
}

void MemoryBus::remember(std::string key, std::string fingerprint) {
    const Instant expires = loop_.now() + options_.idempotency_ttl;
    put({.key = std::move(key), .fingerprint = std::move(fingerprint), .expires = expires, .listed = expires});
}

void MemoryBus::put(Mark mark) {
    Mark& put = marks_.emplace_back(std::move(mark));
    by_key_.insert(MarkAt(put.key, &put));
}

void MemoryBus::forget_old_keys() {
    while (!marks_.empty() && (marks_.front().listed <= loop_.now() || marks_.size() >= options_.keys_max)) {
        Mark& oldest = marks_.front();
        by_key_.erase(MarkAt(oldest.key));
        if (oldest.expires > loop_.now() && marks_.size() < options_.keys_max) {
            oldest.listed = oldest.expires;  // Renewed: it queues again with its real time.
            put(std::move(oldest));
        }
        marks_.pop_front();
    }
}

void MemoryBus::probe(std::move_only_function<void(Result<void>)> done) {
    done({});
}

void MemoryBus::count_attempt(const std::string&, std::move_only_function<void(Result<std::int64_t>)> done) {
    // A crash of this process forgets its messages with it, so no message can kill it twice.
    done(1);
}

void MemoryBus::forget_attempts(const std::string&) {}

void MemoryBus::take_back_attempt(const std::string&) {}

}  // namespace boardbus::transport
